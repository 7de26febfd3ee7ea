/**
 * bandstand-control(7) against the program: every method is documented with the socket that takes
 * it, its params and the keys of its result, and nothing else is. That real results are what the
 * schema says is in test/system/rpc.ts; that the schema is what the page says is here.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ERROR_CODES } from '../../src/block/errors.ts';
import { EVENTS_KEPT } from '../../src/cli/event-log.ts';
import {
  type Decoded,
  decodeExportRequest,
  EXPORT_LIMITS,
  METHODS,
  type Method,
  PROTOCOL_VERSION,
} from '../../src/control/schema.ts';
import {
  decodeEventsRequest,
  EVENTS_LIMIT_MAX,
  EVENTS_WAIT_MS_MAX,
} from '../../src/control/schema-events.ts';
import {
  decodeCache,
  decodeCheck,
  decodeMemberAdd,
  decodeMemberChange,
  decodeMemberReplace,
  decodeRebuild,
} from '../../src/control/schema-members.ts';
import {
  decodeRequest,
  decodeResponse,
  LINE_BYTES_MAX,
  REQUEST_BYTES_MAX,
  RPC_ERRORS,
} from '../../src/control/schema-message.ts';
import { decodeUnexportRequest } from '../../src/control/schema-unexport.ts';
import { CONTROL_PAGE, documentedMessages, documentedMethods } from '../_helpers/control-page.ts';
import { readSchema } from '../_helpers/json-schemas.ts';
import { ROOT } from '../_helpers/repository.ts';

const DOCUMENTED = documentedMethods();

interface Example {
  readonly decode: (value: unknown) => Decoded<object>;
  /** With every param that there is, none of them as it is where it is left out. */
  readonly params: Readonly<Record<string, unknown>>;
}

const CHANGE = { member: '1', member_path: '/dev/sdb', member_key: '8:16', dry_run: true };

/** Methods that take params. */
const EXAMPLES: Partial<Record<Method, Example>> = {
  events: { decode: decodeEventsRequest, params: { since: 1, limit: 2, wait_ms: 3 } },
  export: {
    decode: decodeExportRequest,
    params: {
      via: 'nbd',
      ublk_id: 1,
      queues: 2,
      depth: 3,
      nbd: 'tcp:127.0.0.1:10809',
      read_only: true,
      insecure: true,
      tls: { kind: 'psk', keys: '/keys' },
    },
  },
  unexport: { decode: decodeUnexportRequest, params: { address: '/dev/ublkb0' } },
  'member-add': {
    decode: decodeMemberAdd,
    params: { device: '/dev/sdd', spare_only: true, of_cache: true, dry_run: true },
  },
  'member-fail': { decode: decodeMemberChange, params: CHANGE },
  'member-remove': { decode: decodeMemberChange, params: CHANGE },
  'member-replace': { decode: decodeMemberReplace, params: { ...CHANGE, device: '/dev/sdd' } },
  rebuild: {
    decode: decodeRebuild,
    params: { action: 'pause', of_cache: true, rate_bytes_per_second: null },
  },
  check: { decode: decodeCheck, params: { action: 'start', repair: true, dry_run: true } },
  cache: { decode: decodeCache, params: { action: 'attach', devices: ['/a'], dry_run: true } },
};

test('the page has every method of the protocol, in its order, and no other', (t) => {
  t.deepEqual(
    DOCUMENTED.map(({ name }) => name),
    Object.keys(METHODS),
  );
});

for (const { name, socket, internal, params } of DOCUMENTED) {
  const method = name as Method;

  test(`who may call ${name} is documented as it is`, (t) => {
    const { kind } = METHODS[method];
    t.is(socket, kind === 'read' ? 'both' : 'control');
    t.is(internal, kind === 'internal');
  });

  test(`the params of ${name} are those on the page, optional where it says so`, (t) => {
    const names = params.map((param) => param.name).sort();
    t.deepEqual(names, [...METHODS[method].params].sort());
    const example = EXAMPLES[method];
    t.is(example === undefined, names.length === 0);
    if (example === undefined) return;
    const { decode } = example;
    const decoded = decode(example.params);
    t.true('value' in decoded, 'the example is one');
    t.deepEqual(Object.keys((decoded as { value: object }).value).sort(), names);
    for (const { name: key, optional } of params) {
      const { [key]: _, ...without } = example.params;
      const answers = [decode(without), decode({ ...without, [key]: null })];
      for (const answer of answers) t.is('value' in answer, optional, key);
      if (optional) t.deepEqual(answers[0], answers[1], key);
    }
  });
}

test('the errors that the page names are errors, and it sends to pages that have some', (t) => {
  t.true(DOCUMENTED.some(({ codes }) => codes.length > 0));
  for (const [code] of CONTROL_PAGE.matchAll(/\bBANDSTAND_[A-Z_]+/g)) {
    t.true(Object.hasOwn(ERROR_CODES, code), code);
  }
  for (const verb of DOCUMENTED.flatMap(({ verbs }) => verbs)) {
    const page = readFileSync(path.join(ROOT, `man/bandstand-${verb}.8`), 'utf8');
    t.regex(page, /\n\.Sh DIAGNOSTICS\n[\s\S]*\.It Er BANDSTAND_/);
  }
});

interface Schema {
  readonly $ref?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

const SCHEMA = readSchema('rpc-1') as Schema;

/** Keys of what a reference within or out of rpc-1.schema.json leads to. */
function keysOf({ $ref = '' }: Schema): string[] {
  const [, file, name] = /^(?:urn:bandstand:schema:(\w+):1)?#\/\$defs\/(\w+)$/.exec($ref)!;
  const schema = file === undefined ? SCHEMA : (readSchema(`${file}-1`) as Schema);
  return Object.keys(schema.$defs![name!]!.properties!).sort();
}

test('the schema of results has every method for others, with the keys of the page', (t) => {
  const results = new Map<string, string[]>();
  for (const { properties } of SCHEMA.properties!['data']!.oneOf!) {
    const { method, result } = properties!;
    for (const name of method!.enum ?? [method!.const!]) results.set(name, keysOf(result!));
  }
  const expected = DOCUMENTED.filter(({ internal }) => !internal).map(
    ({ name, result }) => [name, result.map((key) => key.name).sort()] as const,
  );
  t.deepEqual([...results].sort(), [...expected].sort() as never);
});

test('the messages that the page shows are messages', (t) => {
  const [request, result, error, ...more] = documentedMessages();
  t.deepEqual(more, []);
  const decoded = decodeRequest(request!);
  t.true('value' in decoded && decoded.value.method === 'unexport');
  for (const answer of [result!, error!]) t.true('value' in decodeResponse(answer), answer);
});

test('numbers and limits on the page are those of the program', (t) => {
  const numbers = [...CONTROL_PAGE.matchAll(/^\.It Li (-32\d{3})$/gm)].map(([, n]) => Number(n));
  t.deepEqual(numbers.sort(), Object.values(RPC_ERRORS).sort());
  const plain = CONTROL_PAGE.replaceAll(/\n(?!\.)/g, ' ');
  for (const text of [
    `A request has ${REQUEST_BYTES_MAX / 1024} KiB at most, an answer ${LINE_BYTES_MAX / 2 ** 20} MiB.`,
    `tells the version of the protocol, which is ${PROTOCOL_VERSION}.`,
    `how many at most, from 1 to ${EVENTS_LIMIT_MAX}, the default`,
    `from 0, the default, to ${EVENTS_WAIT_MS_MAX}`,
    `from 0 to ${EXPORT_LIMITS.ublk_id[1]}`,
    `from 1 to ${EXPORT_LIMITS.queues[1]}`,
    `requests in a queue, from 1 to ${EXPORT_LIMITS.depth[1]}`,
  ]) {
    t.true(plain.includes(text), text);
  }
  t.is(EVENTS_KEPT, 1000);
  t.true(plain.includes('keeps the last thousand'));
});

test('the sample of a page is understood', (t) => {
  const page = `\n.Sh METHODS\n.Ss one\nOn both sockets.\n.Pp\nParams:\n.Bl -tag\n.It Va a\n.It Op Va b
text\n.El\n.Pp\nResult: as of\n.Sx two .\n.Ss two\nOn the control socket.\nInternal: x\n.Pp\nResult:
.Bl -tag\n.It Va c\n.El\n.Pp\nErrors:\n.Er BANDSTAND_X ,\nthose of\n.Xr bandstand-stop 8 .\n.Sh END\n`;
  const none = { params: [], codes: [], verbs: [] };
  const result = [{ name: 'c', optional: false }];
  t.deepEqual(documentedMethods(page), [
    {
      ...none,
      name: 'one',
      socket: 'both',
      internal: false,
      params: [
        { name: 'a', optional: false },
        { name: 'b', optional: true },
      ],
      result,
    },
    {
      name: 'two',
      socket: 'control',
      internal: true,
      params: [],
      result,
      codes: ['BANDSTAND_X'],
      verbs: ['stop'],
    },
  ]);
  t.throws(() => documentedMethods('\n.Sh METHODS\n.Ss one\nSomewhere.\n'));
});
