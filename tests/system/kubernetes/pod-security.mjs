// Says what the Pod Security Standard "restricted" forbids in the Kubernetes objects at standard input, a JSON array.
import { readFileSync } from 'node:fs';

const library = '/usr/local/lib/jarvis-test-tools/monokle/node_modules/@monokle/validation/lib';
const { default: standard } = await import(`${library}/validators/pod-security-standards/plugin.js`);
const resources = JSON.parse(readFileSync(0, 'utf8'));
for (const rule of Object.values(standard.rules)) {
    rule.validate({ resources }, { report: (_, finding) => console.log(`${finding.path}: ${rule.description}`) });
}
