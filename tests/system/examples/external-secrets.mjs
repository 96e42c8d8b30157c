// Holds the documents of a YAML file against the schemas of External Secrets Operator's kinds. Prints what they do not permit, and
// each key that they do not know. With --store it prints the configuration of the webhook of the first store, as JSON.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const tools = '/usr/local/lib/jarvis-test-tools';
const { parseAllDocuments } = createRequire(`${tools}/monokle/`)('yaml');
const models = `${tools}/external-secrets/node_modules/@kubernetes-models/external-secrets`;

// The schemas permit keys that they do not know. So each one that their validator does not look at is found.
function watched(value, path, looked) {
    if (value === null || typeof value !== 'object') return value;
    const inner = Object.fromEntries(Object.entries(value).map(([key, it]) => [key, watched(it, `${path}/${key}`, looked)]));
    return new Proxy(Array.isArray(value) ? Object.values(inner) : inner, {
        get(target, key) {
            looked.add(`${path}/${String(key)}`);
            return target[key];
        },
    });
}

function* paths(value, path) {
    if (value === null || typeof value !== 'object') return;
    for (const [key, it] of Object.entries(value)) {
        yield `${path}/${key}`;
        yield* paths(it, `${path}/${key}`);
    }
}

const file = process.argv.at(-1);
const documents = parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS());
if (process.argv.includes('--store')) {
    console.log(JSON.stringify(documents.find(({ kind }) => kind === 'SecretStore').spec.provider.webhook));
    process.exit();
}
let found = 0;
for (const document of documents.filter(({ apiVersion }) => apiVersion.startsWith('external-secrets.io/'))) {
    const { validate } = await import(`${models}/_schemas/ComGithubExternalSecretsExternalSecretsApisExternalsecrets${
        document.apiVersion === 'external-secrets.io/v1' ? 'V1' : 'V1alpha1'}${document.kind}.js`);
    const looked = new Set();
    validate(watched(document, '', looked));
    for (const { instancePath, message, keyword, params } of validate.errors ?? []) {
        found += 1;
        console.log(`${document.kind}: ${instancePath}: ${message ?? keyword} ${JSON.stringify(params)}`);
    }
    for (const path of paths(document, '')) {
        if (!looked.has(path)) {
            found += 1;
            console.log(`${document.kind}: ${path}: no such key`);
        }
    }
    console.log(`${document.kind} is checked`);
}
process.exit(found ? 1 : 0);
