/**
 * What a hostile NBD client may send: one list, from which every test takes its cases.
 *
 * A case is all that one connection sends before it closes its side. Whatever a request among them
 * may write lies at HOSTILE_AT or behind it, or is refused.
 */

import * as nbd from '../../src/exporter/nbd/protocol.ts';
import { contextQuery, infoQuery, requestHeader } from './nbd-client.ts';

/** What lies before this byte is never written by a case. */
export const HOSTILE_AT = 2 ** 20;

export interface MalformedCase {
  readonly name: string;
  readonly bytes: Buffer;
}

const FLAGS = Buffer.from([0, 0, 0, 3]);
const GO = optionBytes(nbd.OPT_GO, infoQuery('', []));
const ADMITTED = Buffer.concat([FLAGS, optionBytes(nbd.OPT_STRUCTURED_REPLY), GO]);

/** `length`: what the header says, where that is not the truth. */
export function optionBytes(
  option: number,
  data: Uint8Array = Buffer.alloc(0),
  length = data.length,
): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(length, 12);
  return Buffer.concat([header, data]);
}

/** A whole session with a bit of everything in it. */
function session(): Buffer {
  return Buffer.concat([
    FLAGS,
    optionBytes(nbd.OPT_LIST),
    optionBytes(nbd.OPT_STRUCTURED_REPLY),
    optionBytes(nbd.OPT_SET_META_CONTEXT, contextQuery('', ['base:allocation'])),
    optionBytes(nbd.OPT_GO, infoQuery('', [nbd.INFO_NAME, nbd.INFO_DESCRIPTION])),
    requestHeader(nbd.CMD_READ, nbd.CMD_FLAG_DF, 1n, HOSTILE_AT, 8192),
    requestHeader(nbd.CMD_WRITE, nbd.CMD_FLAG_FUA, 2n, HOSTILE_AT + 100, 64),
    Buffer.alloc(64, 0x77),
    requestHeader(nbd.CMD_WRITE_ZEROES, nbd.CMD_FLAG_NO_HOLE, 3n, HOSTILE_AT, 4096),
    requestHeader(nbd.CMD_BLOCK_STATUS, 0, 4n, 0, 8192),
    requestHeader(nbd.CMD_CACHE, 0, 5n, 0, 8192),
    requestHeader(nbd.CMD_FLUSH, 0, 6n, 0, 0),
    requestHeader(nbd.CMD_DISC, 0, 0n, 0, 0),
  ]);
}

function truncated(): MalformedCase[] {
  const whole = session();
  return Array.from({ length: whole.length + 1 }, (_, bytes) => ({
    name: `a session of ${bytes} bytes`,
    bytes: whole.subarray(0, bytes),
  }));
}

function clientFlags(): MalformedCase[] {
  return Array.from({ length: 30 }, (_, index) => {
    const flags = Buffer.alloc(4);
    flags.writeUInt32BE((3 | (1 << (index + 2))) >>> 0);
    return { name: `client flag ${index + 2}`, bytes: Buffer.concat([flags, GO]) };
  });
}

function optionHeaders(): MalformedCase[] {
  const cases: MalformedCase[] = [];
  for (let byte = 0; byte < 16; byte += 1) {
    const option = Buffer.from(GO);
    option[byte]! ^= 0x80;
    cases.push({ name: `option header byte ${byte}`, bytes: Buffer.concat([FLAGS, option]) });
  }
  const numbers = [...Array.from({ length: 13 }, (_, index) => index), 0x7fff_ffff, 0xffff_ffff];
  for (const option of numbers) {
    for (const length of [1, 5, 6, 8, 4096, 16_384, 16_385, 2 ** 20, 2 ** 20 + 1, 2 ** 32 - 1]) {
      for (const fill of [0, 0xff]) {
        const data = Buffer.alloc(Math.min(length, 20_000), fill);
        const bytes = Buffer.concat([FLAGS, optionBytes(option, data, length), GO]);
        cases.push({ name: `option ${option}, ${length} bytes of ${fill}`, bytes });
      }
    }
  }
  return cases;
}

/** Lengths of names and counts of items that are not true. */
function optionFields(): MalformedCase[] {
  const cases: MalformedCase[] = [];
  const wrong = [0, 1, 5, 4095, 4097, 65_535, 2 ** 31, 2 ** 32 - 1];
  const context = contextQuery('disk', ['base:allocation']);
  for (const option of [nbd.OPT_INFO, nbd.OPT_GO]) {
    for (const value of wrong) {
      const names = infoQuery('disk', [3, 1]);
      names.writeUInt32BE(value, 0);
      const counts = infoQuery('disk', [3, 1]);
      counts.writeUInt16BE(value & 0xffff, 8);
      for (const [what, data] of Object.entries({ names, counts })) {
        const bytes = Buffer.concat([FLAGS, optionBytes(option, data)]);
        cases.push({ name: `option ${option}, ${what} ${value}`, bytes });
      }
    }
  }
  for (const option of [nbd.OPT_LIST_META_CONTEXT, nbd.OPT_SET_META_CONTEXT]) {
    for (const value of wrong) {
      // Length of the name, number of queries, length of the query.
      for (const at of [0, 8, 12]) {
        const data = Buffer.from(context);
        data.writeUInt32BE(value, at);
        const asked = optionBytes(option, data);
        const bytes = Buffer.concat([FLAGS, optionBytes(nbd.OPT_STRUCTURED_REPLY), asked]);
        cases.push({ name: `option ${option}, ${value} at ${at}`, bytes });
      }
    }
  }
  const text = Buffer.from([0xc3, 0x28, 0, 0xff]);
  for (const option of [nbd.OPT_EXPORT_NAME, nbd.OPT_GO]) {
    const data = option === nbd.OPT_GO ? Buffer.concat([Buffer.from([0, 0, 0, 4]), text]) : text;
    const bytes = Buffer.concat([FLAGS, optionBytes(option, data)]);
    cases.push({ name: `option ${option}, a name that is no text`, bytes });
  }
  return cases;
}

/** `sizeBytes`: of the export. */
function requestFields(sizeBytes: number): MalformedCase[] {
  const cases: MalformedCase[] = [];
  const add = (name: string, ...requests: Buffer[]): void => {
    cases.push({ name, bytes: Buffer.concat([ADMITTED, ...requests]) });
  };
  for (let byte = 0; byte < 4; byte += 1) {
    const request = requestHeader(nbd.CMD_READ, 0, 1n, 0, 4096);
    request[byte]! ^= 1;
    add(`request magic byte ${byte}`, request);
  }
  const commands = [0, 1, 3, 4, 5, 6, 7, 8, 9, 255, 65_535];
  for (const type of commands) {
    for (let bit = 0; bit < 16; bit += 1) {
      add(`command ${type}, flag ${bit}`, requestHeader(type, 1 << bit, 1n, HOSTILE_AT, 0));
    }
    for (const offset of [HOSTILE_AT + 1, sizeBytes - 1, sizeBytes, 2 ** 53, 2 ** 63]) {
      for (const length of [1, 511, 4097, 2 ** 25 + 1, 2 ** 32 - 1]) {
        const request = requestHeader(type, 0, 1n, offset, length);
        // Of a write there is less than it says, and it looks like other requests.
        const rest = type === nbd.CMD_WRITE ? Buffer.alloc(Math.min(length - 1, 3000), 0x25) : [];
        add(`command ${type} at ${offset}, ${length} bytes`, request, Buffer.from(rest));
      }
    }
  }
  return cases;
}

/** Far more of something than anybody needs. */
function floods(sizeBytes: number): MalformedCase[] {
  const many = (count: number, bytes: Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => bytes));
  const request = (type: number, length: number, flags = 0): Buffer =>
    requestHeader(type, flags, 7n, type === nbd.CMD_FLUSH ? 0 : HOSTILE_AT, length);
  const admitted = (bytes: Buffer): Buffer => Buffer.concat([ADMITTED, bytes]);
  const flooded: Record<string, Buffer> = {
    'options without end': Buffer.concat([FLAGS, many(5000, optionBytes(nbd.OPT_LIST))]),
    'long options': Buffer.concat([FLAGS, many(40, optionBytes(99, Buffer.alloc(60_000)))]),
    'meta contexts': Buffer.concat([
      FLAGS,
      optionBytes(nbd.OPT_STRUCTURED_REPLY),
      many(100, optionBytes(nbd.OPT_SET_META_CONTEXT, contextQuery('', ['base:allocation']))),
    ]),
    'many queries': Buffer.concat([
      FLAGS,
      optionBytes(nbd.OPT_STRUCTURED_REPLY),
      optionBytes(nbd.OPT_SET_META_CONTEXT, contextQuery('', new Array<string>(3000).fill('x'))),
    ]),
    zeroes: Buffer.alloc(2 ** 20),
    'the letter A': Buffer.alloc(2 ** 20, 'A'),
    'another protocol': Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100)),
    flushes: admitted(many(3000, request(nbd.CMD_FLUSH, 0))),
    'reads of everything': admitted(
      many(20, requestHeader(nbd.CMD_READ, 0, 7n, 0, Math.min(sizeBytes, nbd.REQUEST_BYTES_MAX))),
    ),
    'block status': admitted(many(2000, request(nbd.CMD_BLOCK_STATUS, 2 ** 20))),
    'unknown commands': admitted(many(20_000, request(77, 2 ** 32 - 1))),
    'empty writes': admitted(many(5000, request(nbd.CMD_WRITE, 0))),
    'partial zeroing': admitted(many(1000, request(nbd.CMD_WRITE_ZEROES, 5000))),
  };
  return Object.entries(flooded).map(([name, bytes]) => ({ name: `flood of ${name}`, bytes }));
}

export function malformedCases(sizeBytes: number): readonly MalformedCase[] {
  return [
    ...truncated(),
    ...clientFlags(),
    ...optionHeaders(),
    ...optionFields(),
    ...requestFields(sizeBytes),
    ...floods(sizeBytes),
  ];
}
