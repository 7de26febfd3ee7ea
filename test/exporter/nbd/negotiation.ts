import test from 'ava';
import {
  NEGOTIATION_OUTPUT_BYTES_MAX,
  Negotiation,
  OPTION_DATA_BYTES_MAX,
  OPTIONS_MAX,
} from '../../../src/exporter/nbd/negotiation.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import { SimulatedReactor } from '../../../src/reactor/simulated-reactor.ts';
import { contextQuery, infoQuery } from '../../_helpers/nbd-client.ts';

const INFO = {
  name: 'disk',
  description: 'of tests',
  sizeBytes: 2 ** 33,
  transmissionFlags: 0x0d6d,
  blockBytesMin: 512,
  blockBytesPreferred: 65_536,
  blockBytesMax: 2 ** 25,
};

interface Reply {
  readonly type: number;
  readonly data: Buffer;
}

function optionBytes(option: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** A negotiation after the greeting and the client's flags. */
function begun(flags = 3): Negotiation {
  const negotiation = new Negotiation(INFO, false);
  negotiation.takeOutput();
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(flags);
  negotiation.consume(bytes);
  return negotiation;
}

/** Feeds everything; returns the bytes of the answers. */
function feed(negotiation: Negotiation, input: Uint8Array): Buffer {
  let rest = input;
  const answers: Uint8Array[] = [];
  for (;;) {
    const consumed = negotiation.consume(rest);
    answers.push(negotiation.takeOutput());
    if (consumed === 0) return Buffer.concat(answers);
    rest = rest.subarray(consumed);
  }
}

function ask(negotiation: Negotiation, option: number, data?: Uint8Array): Reply[] {
  const output = feed(negotiation, optionBytes(option, data));
  const replies: Reply[] = [];
  for (let at = 0; at < output.length; ) {
    if (output.readBigUInt64BE(at) !== 0x0003_e889_0455_65a9n) throw new Error('no reply magic');
    if (output.readUInt32BE(at + 8) !== option) throw new Error('a reply to another option');
    const length = output.readUInt32BE(at + 16);
    replies.push({
      type: output.readUInt32BE(at + 12),
      data: output.subarray(at + 20, at + 20 + length),
    });
    at += 20 + length;
  }
  return replies;
}

function typesOf(replies: readonly Reply[]): number[] {
  return replies.map((reply) => reply.type);
}

test('the greeting offers fixed newstyle without zeroes', (t) => {
  const greeting = Buffer.from(new Negotiation(INFO, false).takeOutput());
  t.is(greeting.toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT');
  t.is(greeting.readUInt16BE(16), 3);
  t.is(greeting.length, 18);
});

test('unknown client flags end the connection', (t) => {
  for (const flags of [4, 0x8000_0000, 7]) t.is(begun(flags).state, 'closed');
  for (const flags of [0, 1, 2, 3]) t.is(begun(flags).state, 'options');
});

test('EXPORT_NAME enters the transmission phase, with zeroes unless they were declined', (t) => {
  for (const [flags, bytes] of [
    [3, 10],
    [1, 134],
  ] as const) {
    for (const name of ['disk', '']) {
      const negotiation = begun(flags);
      const answer = feed(negotiation, optionBytes(nbd.OPT_EXPORT_NAME, Buffer.from(name)));
      t.is(answer.length, bytes);
      t.is(answer.readBigUInt64BE(0), 2n ** 33n);
      t.is(answer.readUInt16BE(8), 0x0d6d);
      t.true(answer.subarray(10).every((byte) => byte === 0));
      t.is(negotiation.state, 'transmission');
      t.false(negotiation.blockSizesKnown);
    }
  }
});

test('EXPORT_NAME with an unknown, invalid or overlong name ends the connection', (t) => {
  for (const name of [
    Buffer.from('other'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('di\0sk'),
    Buffer.alloc(5000, 'a'),
    Buffer.alloc(OPTION_DATA_BYTES_MAX + 1, 'a'),
  ]) {
    const negotiation = begun();
    t.is(feed(negotiation, optionBytes(nbd.OPT_EXPORT_NAME, name)).length, 0);
    t.is(negotiation.state, 'closed');
    t.truthy(negotiation.failure);
  }
});

test('ABORT is acknowledged and ends the connection without a complaint', (t) => {
  const negotiation = begun();
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_ABORT)), [nbd.REP_ACK]);
  t.is(negotiation.state, 'closed');
  t.is(negotiation.failure, null);
});

test('LIST names the export and describes it', (t) => {
  const negotiation = begun();
  const replies = ask(negotiation, nbd.OPT_LIST);
  t.deepEqual(typesOf(replies), [nbd.REP_SERVER, nbd.REP_ACK]);
  t.is(replies[0]!.data.readUInt32BE(0), 4);
  t.is(replies[0]!.data.toString('utf8', 4), 'diskof tests');
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_LIST, Buffer.from('x'))), [nbd.REP_ERR_INVALID]);
  t.is(negotiation.state, 'options');
});

test('INFO tells what is asked for and stays in the handshake; GO goes on', (t) => {
  const items = [nbd.INFO_NAME, nbd.INFO_DESCRIPTION, nbd.INFO_BLOCK_SIZE, 77];
  for (const option of [nbd.OPT_INFO, nbd.OPT_GO]) {
    const negotiation = begun();
    const replies = ask(negotiation, option, infoQuery('disk', items));
    t.deepEqual(typesOf(replies), [3, 3, 3, 3, 1]);
    const [general, name, description, sizes] = replies.map((reply) => reply.data);
    t.is(general!.readUInt16BE(0), nbd.INFO_EXPORT);
    t.is(general!.readBigUInt64BE(2), 2n ** 33n);
    t.is(general!.readUInt16BE(10), 0x0d6d);
    t.is(general!.length, 12);
    t.is(name!.toString('utf8', 2), 'disk');
    t.is(description!.toString('utf8', 2), 'of tests');
    t.deepEqual(
      [2, 6, 10].map((at) => sizes!.readUInt32BE(at)),
      [512, 65_536, 2 ** 25],
    );
    t.is(negotiation.state, option === nbd.OPT_GO ? 'transmission' : 'options');
    t.is(negotiation.blockSizesKnown, option === nbd.OPT_GO);
  }
});

test('GO without a request for block sizes does not bind the client to them', (t) => {
  const negotiation = begun();
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_GO, infoQuery('', []))), [3, 1]);
  t.false(negotiation.blockSizesKnown);
});

test('GO and INFO for an unknown export are refused, and the handshake goes on', (t) => {
  const negotiation = begun();
  for (const option of [nbd.OPT_INFO, nbd.OPT_GO]) {
    t.deepEqual(typesOf(ask(negotiation, option, infoQuery('other', []))), [nbd.REP_ERR_UNKNOWN]);
  }
  t.is(negotiation.state, 'options');
});

test('structured replies bring the DF flag', (t) => {
  const negotiation = begun();
  const data = Buffer.from([0]);
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_STRUCTURED_REPLY, data)), [nbd.REP_ERR_INVALID]);
  t.false(negotiation.structuredReplies);
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_STRUCTURED_REPLY)), [nbd.REP_ACK]);
  t.true(negotiation.structuredReplies);
  const [general] = ask(negotiation, nbd.OPT_GO, infoQuery('', []));
  t.is(general!.data.readUInt16BE(10), 0x0d6d | nbd.TRANSMIT_DF);
});

test('meta contexts need structured replies first', (t) => {
  const negotiation = begun();
  for (const option of [nbd.OPT_LIST_META_CONTEXT, nbd.OPT_SET_META_CONTEXT]) {
    const query = contextQuery('disk', ['base:allocation']);
    t.deepEqual(typesOf(ask(negotiation, option, query)), [nbd.REP_ERR_INVALID]);
  }
});

test('LIST_META_CONTEXT lists base:allocation for every query that covers it', (t) => {
  const negotiation = begun();
  ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
  for (const [queries, found] of [
    [[], 1],
    [['base:'], 1],
    [['base:allocation'], 1],
    [['qemu:dirty-bitmap:', 'base:allocation', 'base:'], 1],
    [['base:other', 'x-y:'], 0],
  ] as const) {
    const replies = ask(negotiation, nbd.OPT_LIST_META_CONTEXT, contextQuery('', queries));
    t.is(replies.length, found + 1);
    if (found === 1) t.is(replies[0]!.data.toString('utf8', 4), 'base:allocation');
  }
  ask(negotiation, nbd.OPT_GO, infoQuery('', []));
  t.false(negotiation.allocationContext);
});

test('SET_META_CONTEXT selects for the very export that GO then names', (t) => {
  for (const [setName, queries, goName, selected] of [
    ['disk', ['base:allocation'], 'disk', true],
    ['', ['base:allocation'], '', true],
    ['disk', ['base:allocation'], '', false],
    ['disk', ['base:'], 'disk', false],
    ['disk', [], 'disk', false],
  ] as const) {
    const negotiation = begun();
    ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
    ask(negotiation, nbd.OPT_SET_META_CONTEXT, contextQuery(setName, queries));
    ask(negotiation, nbd.OPT_GO, infoQuery(goName, []));
    t.is(negotiation.allocationContext, selected, `${setName} ${queries.join()} ${goName}`);
  }
});

test('a later SET_META_CONTEXT replaces an earlier one, even when it fails', (t) => {
  for (const query of [
    contextQuery('disk', []),
    contextQuery('other', ['base:allocation']),
    Buffer.from('garbage'),
  ]) {
    const negotiation = begun();
    ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
    ask(negotiation, nbd.OPT_SET_META_CONTEXT, contextQuery('disk', ['base:allocation']));
    ask(negotiation, nbd.OPT_SET_META_CONTEXT, query);
    ask(negotiation, nbd.OPT_GO, infoQuery('disk', []));
    t.false(negotiation.allocationContext);
  }
});

test('STARTTLS, withdrawn and unknown options are unsupported, with any data', (t) => {
  const negotiation = begun();
  for (const option of [0, 4, nbd.OPT_STARTTLS, 11, 12, 0xffff_ffff]) {
    for (const data of [Buffer.alloc(0), Buffer.alloc(100, 1)]) {
      t.deepEqual(typesOf(ask(negotiation, option, data)), [nbd.REP_ERR_UNSUP]);
    }
  }
  t.is(negotiation.state, 'options');
});

test('options that are cut short or have a byte too many are invalid', (t) => {
  const cases = [
    [nbd.OPT_GO, infoQuery('disk', [nbd.INFO_BLOCK_SIZE])],
    [nbd.OPT_INFO, infoQuery('disk', [])],
    [nbd.OPT_SET_META_CONTEXT, contextQuery('disk', ['base:allocation', 'x:'])],
    [nbd.OPT_LIST_META_CONTEXT, contextQuery('disk', ['base:'])],
  ] as const;
  for (const [option, data] of cases) {
    for (let length = 0; length < data.length; length += 1) {
      const negotiation = begun();
      ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
      const replies = ask(negotiation, option, data.subarray(0, length));
      t.deepEqual(typesOf(replies), [nbd.REP_ERR_INVALID], `option ${option}, ${length} bytes`);
    }
    const negotiation = begun();
    ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
    const longer = Buffer.concat([data, Buffer.from([0])]);
    t.deepEqual(typesOf(ask(negotiation, option, longer)), [nbd.REP_ERR_INVALID]);
  }
});

test('lengths inside an option that point beyond it are invalid', (t) => {
  for (const value of [5, 4096, 4097, 0x7fff_ffff, 0xffff_ffff]) {
    const negotiation = begun();
    ask(negotiation, nbd.OPT_STRUCTURED_REPLY);
    const go = infoQuery('disk', []);
    go.writeUInt32BE(value, 0);
    t.deepEqual(typesOf(ask(negotiation, nbd.OPT_GO, go)), [nbd.REP_ERR_INVALID]);
    const query = contextQuery('disk', ['base:allocation']);
    query.writeUInt32BE(value === 5 ? 16 : value, 12);
    t.deepEqual(typesOf(ask(negotiation, nbd.OPT_SET_META_CONTEXT, query)), [nbd.REP_ERR_INVALID]);
    const count = contextQuery('disk', ['base:allocation']);
    count.writeUInt32BE(value, 8);
    t.deepEqual(typesOf(ask(negotiation, nbd.OPT_SET_META_CONTEXT, count)), [nbd.REP_ERR_INVALID]);
  }
});

test('an option that is too long is skipped, refused, and the next one is understood', (t) => {
  const negotiation = begun();
  const long = optionBytes(nbd.OPT_GO, Buffer.alloc(OPTION_DATA_BYTES_MAX + 1));
  const answer = feed(negotiation, long);
  t.is(answer.readUInt32BE(12), nbd.REP_ERR_TOO_BIG);
  t.is(negotiation.state, 'options');
  t.deepEqual(typesOf(ask(negotiation, nbd.OPT_GO, infoQuery('disk', []))), [3, 1]);
});

test('an absurd option length, and a wrong magic number, end the connection', (t) => {
  const absurd = optionBytes(nbd.OPT_GO);
  absurd.writeUInt32BE(0xffff_ffff, 12);
  const wrong = optionBytes(nbd.OPT_LIST);
  wrong[3] = 0;
  for (const bytes of [absurd, wrong]) {
    const negotiation = begun();
    t.is(feed(negotiation, bytes).length, 0);
    t.is(negotiation.state, 'closed');
    t.truthy(negotiation.failure);
  }
});

test('the number of options is limited', (t) => {
  const negotiation = begun();
  for (let count = 0; count < OPTIONS_MAX; count += 1) ask(negotiation, nbd.OPT_LIST);
  t.is(negotiation.state, 'options');
  t.deepEqual(ask(negotiation, nbd.OPT_LIST), []);
  t.is(negotiation.state, 'closed');
});

test('bytes may arrive one at a time', (t) => {
  const negotiation = new Negotiation(INFO, false);
  negotiation.takeOutput();
  const input = Buffer.concat([
    Buffer.from([0, 0, 0, 3]),
    optionBytes(nbd.OPT_STRUCTURED_REPLY),
    optionBytes(nbd.OPT_SET_META_CONTEXT, contextQuery('disk', ['base:allocation'])),
    optionBytes(nbd.OPT_GO, infoQuery('disk', [nbd.INFO_BLOCK_SIZE])),
    Buffer.from('request'),
  ]);
  let from = 0;
  for (let to = 1; to <= input.length; to += 1) {
    from += negotiation.consume(input.subarray(from, to));
    negotiation.takeOutput();
  }
  t.is(negotiation.state, 'transmission');
  t.true(negotiation.allocationContext);
  t.is(from, input.length - 'request'.length);
});

test('random bytes never throw, and answers stay small', (t) => {
  const seed = Number(process.env['BANDSTAND_SEED'] ?? 20_261_121);
  t.log(`BANDSTAND_SEED=${seed}`);
  const source = new SimulatedReactor({ seed });
  const valid = [
    optionBytes(nbd.OPT_STRUCTURED_REPLY),
    optionBytes(nbd.OPT_LIST),
    optionBytes(nbd.OPT_SET_META_CONTEXT, contextQuery('disk', ['base:allocation'])),
    optionBytes(nbd.OPT_INFO, infoQuery('disk', [0, 1, 2, 3])),
    optionBytes(nbd.OPT_GO, infoQuery('disk', [3])),
  ];
  for (let round = 0; round < 20_000; round += 1) {
    const negotiation = begun();
    const bytes = Buffer.concat(
      Array.from({ length: 1 + (source.random() % 3) }, () => valid[source.random() % 5]!),
    );
    for (let flips = source.random() % 4; flips > 0; flips -= 1) {
      bytes[source.random() % bytes.length] = source.random() & 0xff;
    }
    let rest: Uint8Array = bytes;
    for (;;) {
      const consumed = negotiation.consume(rest);
      if (negotiation.takeOutput().length > NEGOTIATION_OUTPUT_BYTES_MAX) t.fail();
      if (consumed === 0) break;
      rest = rest.subarray(consumed);
    }
  }
  t.pass();
});
