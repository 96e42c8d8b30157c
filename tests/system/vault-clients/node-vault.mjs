// What an application does with node-vault.
import { addr, app, assert, current, deploy, done, load, nothing, old, podJwt, refused as isRefused, value } from './lib.mjs';

const nodeVault = await load('node-vault');
const of = ({ message, response }) => ({ status: response?.statusCode, words: message });
const refused = (status, words, promise) => isRefused(status, words, promise, of);
const vault = nodeVault({ endpoint: addr, token: app });
const admin = nodeVault({ endpoint: addr, token: deploy });

assert.equal((await vault.initialized()).initialized, true);
assert.equal((await vault.status()).sealed, false);
assert.equal((await vault.health()).sealed, false);
assert.equal((await vault.tokenLookupSelf()).data.display_name, 'token-app');
assert.equal((await vault.tokenRenewSelf()).auth.client_token, app);
assert.equal((await vault.mounts()).data['secret/'].options.version, '2');

const read = await vault.read('secret/data/app_password');
assert.deepEqual(read.data.data, { value });
assert.equal(read.data.metadata.version, current);
assert.equal((await vault.read(`secret/data/app_password?version=${old}`)).data.data.value, 'the first');
assert.equal((await vault.read('secret/data/team/db/user')).data.data.value, 'the value of team.db.user');
assert.equal((await vault.read('kv/app_password')).data.value, value);
assert.equal((await vault.read('secret/metadata/app_password')).data.current_version, current);
assert.deepEqual((await vault.list('secret/metadata/team')).data.keys, ['db/', 'web']);
assert.deepEqual((await vault.list('kv/team/db')).data.keys, ['password', 'user']);
const plain = nodeVault({ endpoint: addr, token: app, noCustomHTTPVerbs: true });
assert.deepEqual((await plain.list('secret/metadata/team')).data.keys, ['db/', 'web']);

await refused(404, 'Status 404', vault.read('secret/data/app_missing'));
await refused(404, 'Status 404', vault.list('secret/metadata/app_missing'));
await refused(403, 'permission denied', vault.read('secret/data/other_secret'));
await refused(403, 'permission denied', vault.write('secret/data/app_node', { data: { value: 'mine' } }));
await refused(403, 'permission denied', nodeVault({ endpoint: addr, token: nothing }).read('secret/data/app_password'));
await refused(403, 'permission denied', nodeVault({ endpoint: addr, token: 'jst_wrong' }).read('secret/data/app_password'));
await refused(404, 'no handler for route', vault.read('database/creds/app'));
await refused(404, 'no namespaces', nodeVault({ endpoint: addr, token: app, namespace: 'team' }).read('secret/data/app_password'));
await refused(400, 'wraps no answers', vault.read('secret/data/app_password', { headers: { 'X-Vault-Wrap-TTL': '60s' } }));

const path = 'secret/data/app_node';
const { version } = (await admin.write(path, { data: { value: 'mine' }, options: { cas: 0 } })).data;
await refused(400, 'check-and-set parameter', admin.write(path, { data: { value: 'x' }, options: { cas: 0 } }));
await admin.write(path, { data: { user: 'u', password: 'p' }, options: { cas: version } });
await admin.update(path, { data: { password: null, port: 5432 } });
assert.deepEqual((await admin.read(path)).data.data, { user: 'u', port: 5432 });
await refused(404, '', admin.update('secret/data/app_node_missing', { data: { a: 'b' } }));
await admin.write('secret/metadata/app_node', { custom_metadata: { owner: 'web' } });
assert.deepEqual((await admin.read('secret/metadata/app_node')).data.custom_metadata, { owner: 'web' });
await refused(400, 'nothing was deleted', admin.delete(path));
await refused(400, 'nothing was changed', admin.write('secret/undelete/app_node', { versions: [version] }));
await admin.delete('secret/metadata/app_node');
await refused(404, '', admin.read(path));
await refused(400, 'nothing was revoked', vault.tokenRevokeSelf());
await refused(400, 'issues no tokens', admin.tokenCreate());

const role = nodeVault({ endpoint: addr });
await role.approleLogin({ role_id: 'app', secret_id: app });
assert.equal((await role.read('secret/data/app_password')).data.data.value, value);
await refused(403, 'permission denied', nodeVault({ endpoint: addr }).approleLogin({ role_id: 'deploy', secret_id: app }));
const pod = nodeVault({ endpoint: addr });
await pod.kubernetesLogin({ mount_point: 'kubernetes', role: 'pod', jwt: podJwt });
assert.equal((await pod.read('secret/data/app_password')).data.data.value, value);
await refused(403, 'permission denied', nodeVault({ endpoint: addr }).kubernetesLogin({ mount_point: 'kubernetes', role: 'app', jwt: podJwt }));
done('node-vault');
