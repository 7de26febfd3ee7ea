/**
 * Writes docs/errors.md from the table in src/block/errors.ts: `node scripts/errors-doc.js`.
 * With --print the document goes to stdout instead.
 *
 * The table is read as text, so that this works in a fresh clone before anything is built; a test
 * checks that no code is lost on the way.
 */

import { readFileSync, writeFileSync } from 'node:fs';

/**
 * The document for the text of src/block/errors.ts.
 *
 * @param {string} source
 * @returns {string}
 */
function renderErrors(source) {
  const table = /ERROR_CODES = \{\n([\s\S]*?)\} as const/.exec(source)[1];
  const groups = [];
  // An entry may be wrapped after its colon; a group is a comment of one line.
  for (const match of table.matchAll(/^ {2}\/\/ (.*)$|^ {2}(\w+):\s+(['"])(.*)\3,$/gm)) {
    const [, title, code, , meaning] = match;
    if (title !== undefined) groups.push({ title, entries: [] });
    else groups.at(-1).entries.push({ code, meaning: meaning.replaceAll("\\'", "'") });
  }
  const sections = groups.map(({ title, entries }) => {
    const rows = entries.map(({ code, meaning }) => `| \`${code}\` | ${meaning} |`);
    const heading = title[0].toUpperCase() + title.slice(1);
    return `## ${heading}\n\n| code | meaning |\n| --- | --- |\n${rows.join('\n')}\n`;
  });
  return `${INTRODUCTION}\n${sections.join('\n')}`;
}

const INTRODUCTION = `# Errors

<!-- Made by \`node scripts/errors-doc.js\` from src/block/errors.ts; do not edit. -->

Every error that bandstand shows says what could not be done, to which object, and why; the next
line says what to do about it:

\`\`\`
bandstand: cannot open disk0.img: no such file or directory
  check the path
\`\`\`

Under \`--json\`, stdout stays empty and stderr gets one line:
\`{"error": {"code", "message", "hint", "details"}}\`. **Codes are stable across minor versions;
messages are not**, so scripts compare \`code\` and read values from \`details\`.

The exit status is 2 for \`BANDSTAND_USAGE\` and 1 for every other code.
`;

const table = new URL('../src/block/errors.ts', import.meta.url);
const document = new URL('../docs/errors.md', import.meta.url);
const rendered = renderErrors(readFileSync(table, 'utf8'));
if (process.argv.includes('--print')) process.stdout.write(rendered);
else writeFileSync(document, rendered);
