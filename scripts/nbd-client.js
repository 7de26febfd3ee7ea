/**
 * A small NBD client, written from the protocol text alone: it shares no code with the server, so
 * that what it reads is what any client would read.
 *
 * Fixed newstyle over a Unix socket, NBD_OPT_GO, simple replies, many requests in flight.
 */

import net from 'node:net';

const OPTION_MAGIC = 0x49484156454f5054n; // 'IHAVEOPT'
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const GREETING = 'NBDMAGICIHAVEOPT';
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;

const FLAG_FIXED_NEWSTYLE = 1;
const FLAG_NO_ZEROES = 2;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const REP_ERROR = 2 ** 31;
const INFO_EXPORT = 0;

const CMD_READ = 0;
const CMD_WRITE = 1;
const CMD_DISC = 2;
const CMD_FLUSH = 3;

/** Requests in flight at once in readAll and writeAll, and the size of each. */
const DEPTH = 16;
const PIECE_BYTES = 256 * 1024;

/** Bytes as they come, handed out in the lengths that the protocol asks for. */
class Reader {
  #chunks = [];
  #bytes = 0;
  #wanted = 0;
  #resolve = null;
  #reject = null;
  #error = null;

  constructor(socket) {
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#serve();
    });
    const fail = (error) => {
      this.#error ??= error ?? new Error('the NBD server closed the connection');
      this.#serve();
    };
    socket.on('error', fail);
    socket.on('close', () => fail());
  }

  take(bytes) {
    return new Promise((resolve, reject) => {
      this.#wanted = bytes;
      this.#resolve = resolve;
      this.#reject = reject;
      this.#serve();
    });
  }

  #serve() {
    if (this.#resolve === null) return;
    if (this.#bytes >= this.#wanted) {
      const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      const resolve = this.#resolve;
      this.#resolve = null;
      resolve(all.subarray(0, this.#wanted));
    } else if (this.#error !== null) {
      this.#resolve = null;
      this.#reject(this.#error);
    }
  }
}

export class NbdClient {
  /** Size of the export. */
  bytes = 0;
  readOnly = false;
  #socket;
  #reader;
  #pending = new Map();
  #nextCookie = 1n;
  #closing = false;

  /** Connects to `socketPath` and opens the export `name`. */
  static async connect(socketPath, name) {
    const client = new NbdClient();
    client.#socket = net.connect(socketPath);
    client.#reader = new Reader(client.#socket);
    await client.#handshake(name);
    client.#receiveReplies();
    return client;
  }

  async #handshake(name) {
    const greeting = await this.#reader.take(18);
    if (greeting.toString('latin1', 0, 16) !== GREETING) throw new Error('not an NBD server');
    if ((greeting.readUInt16BE(16) & FLAG_FIXED_NEWSTYLE) === 0) {
      throw new Error('the NBD server does not speak fixed newstyle');
    }
    const nameBytes = Buffer.from(name);
    const option = Buffer.alloc(4 + 16 + 4 + nameBytes.length + 2);
    option.writeUInt32BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 0);
    option.writeBigUInt64BE(OPTION_MAGIC, 4);
    option.writeUInt32BE(OPT_GO, 12);
    option.writeUInt32BE(4 + nameBytes.length + 2, 16);
    option.writeUInt32BE(nameBytes.length, 20);
    nameBytes.copy(option, 24);
    this.#socket.write(option);
    for (;;) {
      const header = await this.#reader.take(20);
      if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw new Error('bad option reply');
      const type = header.readUInt32BE(12);
      const data = await this.#reader.take(header.readUInt32BE(16));
      if (type === REP_ACK) return;
      if (type >= REP_ERROR) throw new Error(`the NBD server refused: ${data.toString()}`);
      if (type === REP_INFO && data.readUInt16BE(0) === INFO_EXPORT) {
        this.bytes = Number(data.readBigUInt64BE(2));
        this.readOnly = (data.readUInt16BE(10) & 2) !== 0;
      }
    }
  }

  async #receiveReplies() {
    try {
      for (;;) {
        const header = await this.#reader.take(16);
        if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error('bad reply');
        const error = header.readUInt32BE(4);
        const cookie = header.readBigUInt64BE(8);
        const request = this.#pending.get(cookie);
        if (request === undefined) throw new Error('a reply to no request');
        this.#pending.delete(cookie);
        if (error !== 0) request.reject(new Error(`the NBD server answered with error ${error}`));
        else request.resolve(await this.#reader.take(request.replyBytes));
      }
    } catch (error) {
      for (const request of this.#pending.values()) request.reject(error);
      this.#pending.clear();
      this.#socket.destroy();
    }
  }

  #request(type, offset, length, payload, replyBytes) {
    if (this.#socket.destroyed) return Promise.reject(new Error('the NBD connection is closed'));
    const cookie = this.#nextCookie;
    this.#nextCookie += 1n;
    const header = Buffer.alloc(28);
    header.writeUInt32BE(REQUEST_MAGIC, 0);
    header.writeUInt16BE(type, 6);
    header.writeBigUInt64BE(cookie, 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    return new Promise((resolve, reject) => {
      this.#pending.set(cookie, { resolve, reject, replyBytes });
      this.#socket.write(header);
      if (payload !== null) this.#socket.write(payload);
    });
  }

  read(offset, length) {
    return this.#request(CMD_READ, offset, length, null, length);
  }

  async write(offset, bytes) {
    await this.#request(CMD_WRITE, offset, bytes.length, bytes, 0);
  }

  async flush() {
    await this.#request(CMD_FLUSH, 0, 0, null, 0);
  }

  /** Reads `length` bytes from `offset` in pieces, many at once. */
  async readAll(offset, length) {
    const result = Buffer.alloc(length);
    await inParallel(length, async (at, size) => {
      (await this.read(offset + at, size)).copy(result, at);
    });
    return result;
  }

  async writeAll(offset, bytes) {
    await inParallel(bytes.length, (at, size) =>
      this.write(offset + at, bytes.subarray(at, at + size)),
    );
  }

  /** Says goodbye and waits until the connection is closed. */
  async close() {
    if (this.#closing || this.#socket.destroyed) return;
    this.#closing = true;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#request(CMD_DISC, 0, 0, null, 0).catch(() => {});
    this.#socket.end();
    await closed;
  }
}

async function inParallel(length, run) {
  let next = 0;
  const worker = async () => {
    while (next < length) {
      const at = next;
      const size = Math.min(PIECE_BYTES, length - at);
      next += size;
      await run(at, size);
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, worker));
}
