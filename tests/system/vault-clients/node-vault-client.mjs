// What an application does with node-vault-client, which asks whose token it has before the first call.
import { addr, app, assert, current, deploy, done, load, nothing, old, refused as isRefused, value } from './lib.mjs';

const VaultClient = await load('node-vault-client');
const client = (auth) => new VaultClient({ api: { url: addr }, auth, logger: false });
const by = (token) => client({ type: 'token', config: { token } });
const of = (error) => ({ status: error.statusCode ?? error.name, words: error.error?.errors?.join() ?? error.message });
const refused = (status, words, promise) => isRefused(status, words, promise, of);
const [vault, admin] = [by(app), by(deploy)];

const lease = await vault.read('secret/data/app_password');
assert.deepEqual(lease.getValue('data'), { value });
assert.equal(lease.getValue('metadata').version, current);
assert.equal((await vault.read(`secret/data/app_password?version=${old}`)).getValue('data').value, 'the first');
assert.equal((await vault.read('secret/data/team/db/user')).getValue('data').value, 'the value of team.db.user');
assert.equal((await vault.read('kv/app_password')).getValue('value'), value);
assert.deepEqual((await vault.list('secret/metadata/team')).getValue('keys'), ['db/', 'web']);

await refused(404, '', vault.read('secret/data/app_missing'));
await refused(403, 'permission denied', vault.read('secret/data/other_secret'));
await refused(403, 'permission denied', by(nothing).read('secret/data/app_password'));
await refused(403, 'permission denied', by('jst_wrong').read('secret/data/app_password'));

const path = 'secret/data/app_nvc';
const { version } = (await admin.write(path, { data: { value: 'mine' }, options: { cas: 0 } })).data;
await refused(400, 'check-and-set parameter', admin.write(path, { data: { value: 'x' }, options: { cas: 0 } }));
await admin.write(path, { data: { user: 'u' }, options: { cas: version } });
assert.deepEqual((await admin.read(path)).getValue('data'), { user: 'u' });
await refused(400, 'nothing was changed', admin.write('secret/destroy/app_nvc', { versions: [version] }));

const role = client({ type: 'appRole', config: { role_id: 'app', secret_id: app } });
assert.equal((await role.read('secret/data/app_password')).getValue('data').value, value);
await refused(403, 'permission denied', client({ type: 'appRole', config: { role_id: 'app', secret_id: deploy } }).read(path));
const pod = client({ type: 'kubernetes', config: { role: 'pod', tokenPath: process.env.POD_JWT_FILE } });
assert.equal((await pod.read('secret/data/app_password')).getValue('data').value, value);
done('node-vault-client');
