// Lints a contract by the linter's recommended rules, warnings included.
// usage: node lint.mjs FILE
import { createConfig, lint } from '@redocly/openapi-core';

const [file] = process.argv.slice(2);
const problems = await lint({ ref: file, config: await createConfig({ extends: ['recommended'] }) });
for (const p of problems) {
  const at = p.location[0] || {};
  console.log(`${p.severity} ${p.ruleId}: ${p.message} ${at.pointer || ''}`);
}
process.exit(problems.length > 0 ? 1 : 0);
