// What an application does with hashi-vault-js.
import { addr, app, assert, current, deploy, done, load, nothing, old, podJwt, refused as isRefused, value } from './lib.mjs';

const Vault = await load('hashi-vault-js');
// It waits for one second otherwise.
const vault = new Vault({ baseUrl: `${addr}/v1`, rootPath: 'secret', timeout: 300_000 });
// It prints an error of this call, with the token.
const said = console.log;
const silent = (call) => {
    console.log = () => {};
    return call.finally(() => { console.log = said; });
};
const of = ({ response }) => ({ status: response?.status, words: response?.data.errors.join() ?? '' });
const refused = (status, words, promise) => isRefused(status, words, promise, of);

assert.equal((await vault.healthCheck()).sealed, false);
assert.equal((await vault.sealStatus()).sealed, false);
assert.equal((await vault.lookupSelfToken(app)).meta.client, 'app');
assert.equal((await vault.renewSelfToken(app)).client_token, app);
assert.equal((await vault.readKVEngineConfig(app)).cas_required, false);

const read = await vault.readKVSecret(app, 'app_password');
assert.deepEqual(read.data, { value });
assert.equal(read.metadata.version, current);
assert.equal((await vault.readKVSecret(app, 'app_password', old)).data.value, 'the first');
assert.equal((await vault.readKVSecret(app, 'team/db/user')).data.value, 'the value of team.db.user');
assert.deepEqual((await vault.listKVSecrets(app, 'team')).keys, ['db/', 'web']);
assert.equal((await vault.readKVSecretMeta(app, 'app_password')).current_version, current);

await refused(404, '', vault.readKVSecret(app, 'app_missing'));
await refused(403, 'permission denied', vault.readKVSecret(app, 'other_secret'));
await refused(403, 'permission denied', vault.readKVSecret(nothing, 'app_password'));
await refused(403, 'permission denied', vault.createKVSecret(app, 'app_hashi', { value: 'mine' }));
const elsewhere = new Vault({ baseUrl: `${addr}/v1`, rootPath: 'secret', timeout: 300_000, namespace: 'team' });
await refused(404, 'no namespaces', elsewhere.readKVSecret(app, 'app_password'));

const { version } = await vault.createKVSecret(deploy, 'app_hashi', { value: 'mine' });
await refused(400, 'check-and-set parameter', vault.createKVSecret(deploy, 'app_hashi', { value: 'x' }));
const changed = await vault.updateKVSecret(deploy, 'app_hashi', { user: 'u', port: 5432 }, version);
assert.ok(changed.version > version);
await refused(400, 'check-and-set parameter', silent(vault.updateKVSecret(deploy, 'app_hashi', { value: 'x' }, version)));
assert.deepEqual((await vault.readKVSecret(deploy, 'app_hashi')).data, { user: 'u', port: 5432 });
await vault.updateKVSecretMeta(deploy, 'app_hashi', { custom_metadata: { owner: 'web' } });
assert.deepEqual((await vault.readKVSecretMeta(deploy, 'app_hashi')).custom_metadata, { owner: 'web' });
await refused(400, 'nothing was deleted', vault.deleteLatestVerKVSecret(deploy, 'app_hashi'));
for (const call of ['deleteVersionsKVSecret', 'undeleteVersionsKVSecret', 'destroyVersionsKVSecret']) {
    await refused(400, 'nothing was changed', vault[call](deploy, 'app_hashi', [version]));
}
await vault.eliminateKVSecret(deploy, 'app_hashi');
await refused(404, '', vault.readKVSecret(deploy, 'app_hashi'));
await refused(400, 'nothing was revoked', vault.revokeSelfToken(app));

const { client_token: token } = await vault.loginWithAppRole('app', app, 'auth/approle');
assert.equal((await vault.readKVSecret(token, 'app_password')).data.value, value);
await refused(403, 'permission denied', vault.loginWithAppRole('deploy', app, 'auth/approle'));
const { client_token: pod } = await vault.loginWithK8s('pod', podJwt, 'auth/kubernetes');
assert.equal((await vault.readKVSecret(pod, 'app_password')).data.value, value);
done('hashi-vault-js');
