/**
 * NbdClient: a small NBD client for tests, over any stream.
 *
 * Negotiates as told, keeps many requests in flight (every call may be made before the last one has
 * settled; replies are matched by cookie), checks what the server sends and rejects everything when
 * it breaks the protocol. A refused request rejects with NbdRequestError and its NBD error value.
 */

import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import * as nbd from '../../src/exporter/nbd/protocol.ts';
import { ByteReader } from './byte-reader.ts';

export interface NbdClientOptions {
  readonly exportName?: string;
  /** Default true. */
  readonly structuredReplies?: boolean;
  /** Select base:allocation (default: as structuredReplies). */
  readonly allocationContext?: boolean;
  /** Ask for block sizes, and so promise to keep to them (default true). */
  readonly blockSizes?: boolean;
  /** Use EXPORT_NAME instead of GO: no errors, no information. */
  readonly exportNameOption?: boolean;
}

export interface NbdExtent {
  readonly length: number;
  readonly flags: number;
}

export interface NbdChunk {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

export interface NbdReply {
  readonly data: Buffer;
  readonly extents: readonly NbdExtent[];
  /** The content chunks of a structured reply, in the order of arrival. */
  readonly chunks: readonly NbdChunk[];
}

/** The server answered a request with an error. */
export class NbdRequestError extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`the server answered with error ${errno}`);
    this.errno = errno;
  }
}

/** The server answered an option with an error. */
export class NbdOptionError extends Error {
  readonly replyType: number;

  constructor(replyType: number, text: string) {
    super(`the server answered 0x${replyType.toString(16)}: ${text}`);
    this.replyType = replyType;
  }
}

interface Pending {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
  readonly extents: NbdExtent[];
  readonly chunks: NbdChunk[];
  covered: number;
  errno: number;
  readonly resolve: (reply: NbdReply) => void;
  readonly reject: (error: Error) => void;
}

const NO_DATA = Buffer.alloc(0);

export class NbdClient {
  readonly stream: Duplex;
  sizeBytes = 0;
  transmissionFlags = 0;
  blockBytesMin = 1;
  blockBytesPreferred = 4096;
  blockBytesMax = nbd.REQUEST_BYTES_MAX;
  name = '';
  description = '';
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  readonly #reader: ByteReader;
  readonly #pending = new Map<bigint, Pending>();
  #structured = false;
  #nextCookie = 0x1234_5678_0000_0001n;
  #failure: Error | null = null;

  /** Wraps a stream and takes the greeting; options are the caller's until `go`. */
  constructor(stream: Duplex) {
    this.stream = stream;
    this.#reader = new ByteReader(stream);
    stream.on('error', () => {});
    this.closed = new Promise((resolve) => {
      stream.once('close', () => resolve());
    });
  }

  static async connectUnix(path: string, options: NbdClientOptions = {}): Promise<NbdClient> {
    const socket = createConnection({ path });
    await once(socket, 'connect');
    return NbdClient.over(socket, options);
  }

  static async connectTcp(
    host: string,
    port: number,
    options: NbdClientOptions = {},
  ): Promise<NbdClient> {
    const socket = createConnection({ host, port, noDelay: true });
    await once(socket, 'connect');
    return NbdClient.over(socket, options);
  }

  /** Negotiates on `stream` up to the transmission phase. */
  static async over(stream: Duplex, options: NbdClientOptions = {}): Promise<NbdClient> {
    const client = new NbdClient(stream);
    await client.greet();
    const structured = options.structuredReplies ?? true;
    if (structured) await client.requestStructuredReplies();
    const name = options.exportName ?? '';
    if (options.allocationContext ?? structured) await client.selectAllocation(name);
    if (options.exportNameOption) await client.enterByName(name);
    else await client.go(name, options.blockSizes ?? true);
    return client;
  }

  // --- handshake ---------------------------------------------------------------------------------

  async greet(clientFlags = nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES): Promise<void> {
    const greeting = await this.#take(nbd.GREETING_BYTES);
    if (greeting.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error('no greeting');
    const flags = Buffer.alloc(4);
    flags.writeUInt32BE(clientFlags);
    this.stream.write(flags);
  }

  sendOption(option: number, data: Uint8Array = NO_DATA): void {
    const header = Buffer.alloc(nbd.OPTION_HEADER_BYTES);
    header.write('IHAVEOPT', 0, 'latin1');
    header.writeUInt32BE(option, 8);
    header.writeUInt32BE(data.length, 12);
    this.stream.write(Buffer.concat([header, data]));
  }

  async takeOptionReply(option: number): Promise<{ type: number; data: Buffer }> {
    const header = await this.#take(nbd.OPTION_REPLY_HEADER_BYTES);
    if (header.readBigUInt64BE(0) !== 0x0003_e889_0455_65a9n) throw new Error('no option reply');
    if (header.readUInt32BE(8) !== option) throw new Error('a reply to another option');
    return { type: header.readUInt32BE(12), data: await this.#take(header.readUInt32BE(16)) };
  }

  /** Sends an option and gives its replies up to the final ACK. Throws NbdOptionError. */
  async option(
    option: number,
    data: Uint8Array = NO_DATA,
  ): Promise<{ type: number; data: Buffer }[]> {
    this.sendOption(option, data);
    const replies: { type: number; data: Buffer }[] = [];
    for (;;) {
      const reply = await this.takeOptionReply(option);
      if (reply.type === nbd.REP_ACK) return replies;
      if (reply.type >= 0x8000_0000) throw new NbdOptionError(reply.type, reply.data.toString());
      replies.push(reply);
    }
  }

  async list(): Promise<{ name: string; description: string }[]> {
    const replies = await this.option(nbd.OPT_LIST);
    return replies.map(({ data }) => {
      const end = 4 + data.readUInt32BE(0);
      return { name: data.toString('utf8', 4, end), description: data.toString('utf8', end) };
    });
  }

  async requestStructuredReplies(): Promise<void> {
    await this.option(nbd.OPT_STRUCTURED_REPLY);
    this.#structured = true;
  }

  /** True when the server has the context. */
  async selectAllocation(name: string): Promise<boolean> {
    const query = contextQuery(name, [nbd.ALLOCATION_CONTEXT_NAME]);
    return (await this.option(nbd.OPT_SET_META_CONTEXT, query)).length === 1;
  }

  async go(name: string, blockSizes = true): Promise<void> {
    const items = [
      nbd.INFO_NAME,
      nbd.INFO_DESCRIPTION,
      ...(blockSizes ? [nbd.INFO_BLOCK_SIZE] : []),
    ];
    for (const { data } of await this.option(nbd.OPT_GO, infoQuery(name, items))) {
      this.#takeInformation(data);
    }
    void this.#receiveReplies();
  }

  async enterByName(name: string, zeroes = false): Promise<void> {
    this.sendOption(nbd.OPT_EXPORT_NAME, Buffer.from(name));
    const reply = await this.#take(zeroes ? 134 : 10);
    this.sizeBytes = Number(reply.readBigUInt64BE(0));
    this.transmissionFlags = reply.readUInt16BE(8);
    void this.#receiveReplies();
  }

  #takeInformation(data: Buffer): void {
    const type = data.readUInt16BE(0);
    if (type === nbd.INFO_EXPORT) {
      this.sizeBytes = Number(data.readBigUInt64BE(2));
      this.transmissionFlags = data.readUInt16BE(10);
    } else if (type === nbd.INFO_NAME) this.name = data.toString('utf8', 2);
    else if (type === nbd.INFO_DESCRIPTION) this.description = data.toString('utf8', 2);
    else if (type === nbd.INFO_BLOCK_SIZE) {
      this.blockBytesMin = data.readUInt32BE(2);
      this.blockBytesPreferred = data.readUInt32BE(6);
      this.blockBytesMax = data.readUInt32BE(10);
    }
  }

  // --- transmission ------------------------------------------------------------------------------

  async read(offset: number, length: number, flags = 0): Promise<Buffer> {
    return (await this.request(nbd.CMD_READ, flags, offset, length)).data;
  }

  /** For long reads: fresh memory costs more than all the rest. */
  async readInto(target: Buffer, offset: number): Promise<Buffer> {
    const { length } = target;
    return (await this.request(nbd.CMD_READ, 0, offset, length, NO_DATA, undefined, target)).data;
  }

  async write(offset: number, data: Uint8Array, flags = 0): Promise<void> {
    await this.request(nbd.CMD_WRITE, flags, offset, data.length, data);
  }

  async flush(): Promise<void> {
    await this.request(nbd.CMD_FLUSH, 0, 0, 0);
  }

  async trim(offset: number, length: number, flags = 0): Promise<void> {
    await this.request(nbd.CMD_TRIM, flags, offset, length);
  }

  async zero(offset: number, length: number, flags = 0): Promise<void> {
    await this.request(nbd.CMD_WRITE_ZEROES, flags, offset, length);
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.request(nbd.CMD_CACHE, 0, offset, length);
  }

  async blockStatus(offset: number, length: number, flags = 0): Promise<readonly NbdExtent[]> {
    return (await this.request(nbd.CMD_BLOCK_STATUS, flags, offset, length)).extents;
  }

  /** Sends one request as it is, however wrong, and gives its reply. */
  request(
    type: number,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array = NO_DATA,
    cookie: bigint = this.#nextCookie++,
    target: Buffer | null = null,
  ): Promise<NbdReply> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const read = type === nbd.CMD_READ && length <= nbd.REQUEST_BYTES_MAX;
      this.#pending.set(cookie, {
        type,
        offset,
        length,
        data: target ?? (read ? Buffer.alloc(length) : NO_DATA),
        extents: [],
        chunks: [],
        covered: 0,
        errno: 0,
        resolve,
        reject,
      });
      this.stream.write(requestHeader(type, flags, cookie, offset, length));
      if (payload.length > 0) this.stream.write(payload);
    });
  }

  /** Says goodbye and waits for the server to close. */
  async disconnect(): Promise<void> {
    this.stream.end(requestHeader(nbd.CMD_DISC, 0, 0n, 0, 0));
    await this.closed;
  }

  /** Vanishes. */
  destroy(): void {
    this.stream.destroy();
  }

  async #take(bytes: number): Promise<Buffer> {
    const taken = await this.#reader.take(bytes);
    if (taken === null) throw new Error('the server closed the connection');
    return taken;
  }

  async #takeInto(target: Buffer): Promise<void> {
    const whole = await this.#reader.takeInto(target);
    if (!whole) throw new Error('the server closed the connection');
  }

  async #receiveReplies(): Promise<void> {
    try {
      for (;;) {
        const start = await this.#take(nbd.SIMPLE_REPLY_BYTES);
        const magic = start.readUInt32BE(0);
        if (magic === nbd.SIMPLE_REPLY_MAGIC) await this.#simple(start);
        else if (magic === nbd.STRUCTURED_REPLY_MAGIC) await this.#chunk(start);
        else throw new Error(`a reply without its magic number: ${magic.toString(16)}`);
      }
    } catch (error) {
      this.#failure = error as Error;
      for (const pending of this.#pending.values()) pending.reject(this.#failure);
      this.#pending.clear();
      this.stream.destroy();
    }
  }

  #find(cookie: bigint): Pending {
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw new Error(`a reply to the unknown request ${cookie}`);
    return pending;
  }

  async #simple(header: Buffer): Promise<void> {
    const cookie = header.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    pending.errno = header.readUInt32BE(4);
    if (pending.type === nbd.CMD_READ) {
      if (this.#structured) throw new Error('a simple reply to a read, though structured');
      if (pending.errno === 0 && pending.length > 0) {
        await this.#takeInto(pending.data);
      }
      pending.covered = pending.length;
    }
    this.#settle(cookie, pending);
  }

  async #chunk(start: Buffer): Promise<void> {
    if (!this.#structured) throw new Error('a structured reply that was not negotiated');
    const flags = start.readUInt16BE(4);
    const type = start.readUInt16BE(6);
    const cookie = start.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    const length = (await this.#take(4)).readUInt32BE(0);
    const content = type === nbd.CHUNK_OFFSET_DATA;
    const data = await this.#take(content ? 8 : length);
    if (content) await this.#dataChunk(pending, Number(data.readBigUInt64BE(0)), length - 8);
    else if (type === nbd.CHUNK_BLOCK_STATUS) {
      for (let at = 4; at < data.length; at += 8) {
        pending.extents.push({ length: data.readUInt32BE(at), flags: data.readUInt32BE(at + 4) });
      }
    } else if (type === nbd.CHUNK_ERROR) pending.errno = data.readUInt32BE(0);
    else if (type !== nbd.CHUNK_NONE) throw new Error(`a chunk of the unknown type ${type}`);
    if ((flags & nbd.CHUNK_FLAG_DONE) !== 0) this.#settle(cookie, pending);
  }

  async #dataChunk(pending: Pending, offset: number, length: number): Promise<void> {
    const from = offset - pending.offset;
    if (pending.type !== nbd.CMD_READ || from < 0 || from + length > pending.length) {
      throw new Error('a data chunk outside of its request');
    }
    await this.#takeInto(pending.data.subarray(from, from + length));
    pending.covered += length;
    pending.chunks.push({ type: nbd.CHUNK_OFFSET_DATA, offset, length });
  }

  #settle(cookie: bigint, pending: Pending): void {
    this.#pending.delete(cookie);
    if (pending.errno !== 0) {
      pending.reject(new NbdRequestError(pending.errno));
      return;
    }
    if (pending.type === nbd.CMD_READ && pending.covered !== pending.length) {
      throw new Error(`a read of ${pending.length} bytes was answered with ${pending.covered}`);
    }
    const { data, extents, chunks } = pending;
    pending.resolve({ data, extents, chunks });
  }
}

export function requestHeader(
  type: number,
  flags: number,
  cookie: bigint,
  offset: number,
  length: number,
): Buffer {
  const header = Buffer.alloc(nbd.REQUEST_BYTES);
  header.writeUInt32BE(nbd.REQUEST_MAGIC, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(type, 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** Data of INFO and GO. */
export function infoQuery(name: string, items: readonly number[]): Buffer {
  const text = Buffer.from(name);
  const data = Buffer.alloc(6 + text.length + 2 * items.length);
  data.writeUInt32BE(text.length, 0);
  text.copy(data, 4);
  data.writeUInt16BE(items.length, 4 + text.length);
  for (const [index, item] of items.entries()) {
    data.writeUInt16BE(item, 6 + text.length + 2 * index);
  }
  return data;
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function contextQuery(name: string, queries: readonly string[]): Buffer {
  return Buffer.concat([
    lengthAndText(name),
    uint32(queries.length),
    ...queries.map((query) => lengthAndText(query)),
  ]);
}

function lengthAndText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
