/**
 * The JSON schemas: one for each document that the program prints, and none that leaves anything
 * open without a reason. Real documents of every verb are in test/system/json-documents.ts.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { readSchema, schemaName, schemaNames, whyInvalid } from './_helpers/json-schemas.ts';
import { ROOT } from './_helpers/repository.ts';
import { listFiles } from './_helpers/source-text.ts';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Objects whose keys depend on something else that is in the document. */
const OPEN = new Set([
  'error-1/properties/error/properties/details',
  'event-1/properties/data/properties/details',
  'examine-1/fields',
  'metrics-1/labels',
]);

type Node = Readonly<Record<string, unknown>>;

/** Every schema of an object within a schema, with where it is. */
function objectsIn(node: unknown, at: string): [string, Node][] {
  if (typeof node !== 'object' || node === null) return [];
  const found: [string, Node][] = [];
  const { type } = node as Node;
  if (type === 'object' || (Array.isArray(type) && type.includes('object'))) {
    found.push([at, node as Node]);
  }
  for (const [key, value] of Object.entries(node)) {
    // A key of a document may be called like a word of JSON Schema.
    const inside = key === 'properties' || key === '$defs' ? Object.entries(value) : [['', value]];
    for (const [name, one] of inside) {
      found.push(...objectsIn(one, [at, key, name].filter(Boolean).join('/')));
    }
  }
  return found;
}

const isOpen = (at: string): boolean => {
  const [file] = at.split('/');
  return OPEN.has(at) || OPEN.has(`${file}/${at.split('/').at(-1)}`);
};

test('every schema id in the sources has a file, and every file an id', (t) => {
  // The error envelope has no id: it is told by its only key.
  const named = new Set(['error-1']);
  for (const file of listFiles(['src'], ['.ts', '.tsx'])) {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    for (const [id] of text.matchAll(/\bbandstand\.[a-z-]+\/\d+\b/g)) named.add(schemaName(id));
  }
  t.true(named.size > 15, 'the ids are found');
  t.deepEqual(schemaNames(), [...named].sort());
});

for (const name of schemaNames()) {
  test(`${name} says what it is, and leaves nothing open`, (t) => {
    const schema = readSchema(name);
    t.is(schema['$schema'], DIALECT);
    t.is(schema['$id'], `urn:bandstand:schema:${name.replace(/-(\d+)$/, ':$1')}`);
    t.true(String(schema['title']).length > 15);
    const objects = objectsIn(schema, name);
    t.true(objects.length > 0);
    for (const [at, { additionalProperties, properties, required }] of objects) {
      if (isOpen(at)) continue;
      t.is(additionalProperties, false, at);
      t.deepEqual(required, Object.keys(properties as object), at);
    }
  });
}

test('a document with a key too many, too few, or of another type is refused', (t) => {
  const document = (data: object) => ({
    schema: 'bandstand.completion/1',
    generated_at: '2026-11-28T01:02:03.456Z',
    data,
  });
  t.is(whyInvalid(document({ shell: 'zsh', script: '' })), null);
  t.regex(whyInvalid(document({ shell: 'zsh', script: '', of: 1 }))!, /additional properties/);
  t.regex(whyInvalid(document({ shell: 'zsh' }))!, /required property 'script'/);
  t.regex(whyInvalid(document({ shell: 'zsh', script: 1 }))!, /must be string/);
  t.regex(whyInvalid(document({ shell: 'csh', script: '' }))!, /must be equal to one of/);
  t.regex(whyInvalid({ ...document({}), generated_at: 'now' })!, /must match pattern/);
  t.is(whyInvalid({ schema: 'bandstand.nothing/1' }), 'there is no schema nothing-1');
  const error = { code: 'BANDSTAND_USAGE', message: 'cannot', hint: null, details: { any: 1 } };
  t.is(whyInvalid({ error }), null);
  t.regex(whyInvalid({ error: { ...error, code: 'EIO' } })!, /must match pattern/);
});
