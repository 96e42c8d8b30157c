const WILDCARD_UPPERCASE = '*';
const WILDCARD = '**';

module.exports = {
    WILDCARD,
    WILDCARD_UPPERCASE,
};
