const auth = require('./auth');
const secrets = require('./secrets');
const pki = require('./pki');

module.exports = {
    auth,
    secrets,
    pki
};