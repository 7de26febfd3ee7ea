/**
 * The JSON schemas that the package ships (schemas/), and whether a document is what its says.
 *
 * CliWorld holds everything that a command prints with --json against them, whatever a test is
 * about: no state of a stack has a document that its schema does not know.
 */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { ROOT } from './repository.ts';

const SUFFIX = '.schema.json';
const FOLDER = path.join(ROOT, 'schemas');

/** Of `bandstand.status/1`: `status-1`, which is in the name of its file and its `$id`. */
export function schemaName(id: string): string {
  return id.replace(/^bandstand\./, '').replace('/', '-');
}

export function schemaNames(): string[] {
  return readdirSync(FOLDER)
    .map((file) => file.slice(0, -SUFFIX.length))
    .sort();
}

export function readSchema(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path.join(FOLDER, `${name}${SUFFIX}`), 'utf8'));
}

let loaded: Ajv2020 | null = null;

function schemas(): Ajv2020 {
  if (loaded === null) {
    // A state may be null, which JSON Schema writes as two types.
    loaded = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
    for (const name of schemaNames()) loaded.addSchema(readSchema(name));
  }
  return loaded;
}

/** Null for a document that is what its schema says; else what is wrong with it. */
export function whyInvalid(document: unknown): string | null {
  const { error, schema } = document as { error?: unknown; schema?: unknown };
  // The error envelope is known by its only key.
  const name = error === undefined ? schemaName(String(schema)) : 'error-1';
  const validate = schemas().getSchema(`urn:bandstand:schema:${name.replace(/-(\d+)$/, ':$1')}`);
  if (validate === undefined) return `there is no schema ${name}`;
  if (validate(document)) return null;
  const errors = (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath}: ${message} ${JSON.stringify(params)}`,
  );
  return `${name}: ${errors.join('; ')}\n${JSON.stringify(document)}`;
}

/** Throws what is wrong with the documents that a command has printed, a line each. */
export function checkPrinted(words: readonly string[], ...texts: readonly string[]): void {
  if (!words.includes('--json') && !words.includes('-j')) return;
  for (const text of texts) {
    for (const line of text.split('\n')) {
      // Notes for people may stand between the documents on stderr.
      if (!line.startsWith('{')) continue;
      const why = whyInvalid(JSON.parse(line));
      if (why !== null) throw new Error(`bandstand ${words.join(' ')} prints no ${why}`);
    }
  }
}
