// What the programs in JavaScript share: the packages, what the daemon holds, and what must be refused.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';

export { assert };
export const { VAULT_ADDR: addr, APP_TOKEN: app, DEPLOY_TOKEN: deploy, NOTHING_TOKEN: nothing } = process.env;
export const podJwt = readFileSync(process.env.POD_JWT_FILE, 'utf8');
export const [old, current] = [Number(process.env.OLD), Number(process.env.NEW)];
export const value = 'correct horse "ö"';

const modules = '/usr/local/lib/jarvis-test-tools/vault-clients/node_modules';
const { resolve } = createRequire(`${modules}/`);

// A package, as a program that has installed it gets it.
export async function load(name) {
    const { default: main, ...named } = await import(pathToFileURL(resolve(name)));
    return main ?? named;
}

export function done(name) {
    console.log(`${name} ${JSON.parse(readFileSync(`${modules}/${name}/package.json`)).version}: all of it`);
}

// It must fail with that status and words; `of` finds both in the error.
export async function refused(status, words, promise, of) {
    const error = await promise.then((answer) => assert.fail(`not refused: ${JSON.stringify(answer)}`), of);
    assert.equal(error.status, status, JSON.stringify(error));
    assert.ok(error.words.includes(words), `${words} is not in ${error.words}`);
}
