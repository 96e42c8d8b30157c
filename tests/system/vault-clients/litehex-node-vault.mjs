// What an application does with @litehex/node-vault.
import { addr, app, assert, current, deploy, done, load, nothing, old, refused as isRefused, value } from './lib.mjs';

const { Client } = await load('@litehex/node-vault');
const client = (token) => new Client({ endpoint: addr, token });
// It gives errors back instead of throwing them.
async function ok(call) {
    const { data, error } = await call;
    if (error) throw error;
    return data;
}
const of = ({ message, cause }) => ({ status: cause?.status, words: message });
const refused = (status, words, call) => isRefused(status, words, ok(call), of);
const [vault, admin] = [client(app), client(deploy)];
const at = (path, more = {}) => ({ mountPath: 'secret', path, ...more });

assert.equal((await ok(vault.health())).sealed, false);
assert.equal((await ok(vault.initialized())).initialized, true);
assert.equal((await ok(vault.sealStatus())).sealed, false);
assert.equal((await ok(vault.mounts())).data['secret/'].options.version, '2');

const read = await ok(vault.kv2.read(at('app_password')));
assert.deepEqual(read.data.data, { value });
assert.equal(read.data.metadata.version, current);
assert.equal((await ok(vault.kv2.read(at('app_password', { version: old })))).data.data.value, 'the first');
assert.equal((await ok(vault.kv2.read(at('team/db/user')))).data.data.value, 'the value of team.db.user');
assert.equal((await ok(vault.kv.read({ mountPath: 'kv', path: 'app_password' }))).data.value, value);
assert.deepEqual((await ok(vault.kv2.list(at('team')))).data.keys, ['db/', 'web']);
assert.equal((await ok(vault.kv2.readMetadata(at('app_password')))).data.current_version, current);
assert.equal((await ok(vault.kv2.readConfig({ mountPath: 'secret' }))).data.cas_required, false);

await refused(404, 'Not Found', vault.kv2.read(at('app_missing')));
await refused(403, 'permission denied', vault.kv2.read(at('other_secret')));
await refused(403, 'permission denied', client(nothing).kv2.read(at('app_password')));
await refused(403, 'permission denied', vault.kv2.write(at('app_litehex', { data: { value: 'mine' } })));

const options = (cas) => ({ options: { cas } });
const { version } = (await ok(admin.kv2.write(at('app_litehex', { data: { value: 'mine' }, ...options(0) })))).data;
await refused(400, 'check-and-set parameter', admin.kv2.write(at('app_litehex', { data: { value: 'x' }, ...options(0) })));
await ok(admin.kv2.write(at('app_litehex', { data: { user: 'u', password: 'p' }, ...options(version) })));
await ok(admin.kv2.patch(at('app_litehex', { data: { port: 5432 } })));
assert.equal((await ok(admin.read({ path: 'secret/data/app_litehex' }))).data.data.port, 5432);
await ok(admin.kv2.writeMetadata(at('app_litehex', { custom_metadata: { owner: 'web' } })));
assert.deepEqual((await ok(admin.kv2.readMetadata(at('app_litehex')))).data.custom_metadata, { owner: 'web' });
await refused(400, 'nothing was deleted', admin.kv2.deleteLatest(at('app_litehex')));
for (const call of ['delete', 'undelete', 'destroy']) {
    await refused(400, 'nothing was changed', admin.kv2[call](at('app_litehex', { versions: [version] })));
}
await ok(admin.kv2.deleteMetadata(at('app_litehex')));
await refused(404, 'Not Found', admin.kv2.read(at('app_litehex')));
done('@litehex/node-vault');
