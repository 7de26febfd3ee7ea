/**
 * The ublk driver as a queue sees it, without a kernel: a Ring whose commands go to a model that
 * holds the tags, copies data at the moments at which the kernel would, and complains when the
 * protocol is broken. Time is the simulator's. Memory has addresses, so that a wrong one is found.
 */

import { Arena } from '../../../src/block/arena.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../../src/block/block-device.ts';
import type { BlockIo } from '../../../src/block/block-io.ts';
import { OK } from '../../../src/block/status.ts';
import type { NativeAddon, NativeMapping } from '../../../src/native/addon.ts';
import type { Ring, RingHandler } from '../../../src/reactor/ring.ts';
import { SimulatedReactor } from '../../../src/reactor/simulated-reactor.ts';

const FETCH = 0xc0107520;
const COMMIT_AND_FETCH = 0xc0107521;
const ARENA_BYTES = 2 ** 20;
/** Buffers lie on both sides of a multiple of 2^32. */
const ARENA_ADDRESS = 5 * 2 ** 32 - 32768;
const MAPPINGS_ADDRESS = 2 ** 46;

export interface Request {
  readonly op: number;
  readonly sectors: number;
  readonly start?: number;
  readonly flags?: number;
  /** What a write carries. */
  readonly data?: Uint8Array;
}

export interface Answer {
  readonly tag: number;
  readonly result: number;
  /** What a read gave. */
  readonly data: Uint8Array | null;
}

interface Tag {
  /** Address of the buffer that the server gave, while the driver holds the tag. */
  address: number | null;
  request: Request | null;
  /** Address that the request in progress was delivered with. */
  servedAt: number;
}

const UNUSED = (): never => {
  throw new Error('a ublk queue does not use this operation');
};

export class FakeDriver extends SimulatedReactor implements Ring {
  readonly native: NativeAddon;
  readonly descriptors: ArrayBuffer;
  readonly answers: Answer[] = [];
  readonly depth: number;
  /** Result of FETCH instead of waiting, for example -22. */
  refuse = 0;
  /** Open files, mappings and handlers: all must be gone in the end. */
  readonly openFiles = new Set<number>();
  readonly mappings = new Map<number, Uint8Array>();
  readonly handlers = new Map<number, RingHandler>();
  readonly registeredFiles = new Set<number>();
  /** Results of the next calls of fileOpen. */
  readonly openResults: number[] = [];
  /** Every command that was sent: [slot, op, queue, tag]. */
  readonly commands: Array<readonly [number, number, number, number]> = [];
  readonly #tags: Tag[];
  #handlerId = -1;
  #nextAddress = MAPPINGS_ADDRESS;

  readAt = UNUSED;
  writeAt = UNUSED;
  syncData = UNUSED;
  allocateRange = UNUSED;
  discardRange = UNUSED;
  accept = UNUSED;
  receive = UNUSED;
  send = UNUSED;
  sendMessage = UNUSED;
  shutdown = UNUSED;
  poll = UNUSED;
  cancelRequest = UNUSED;

  constructor(depth: number) {
    super({ arena: new Arena(new ArrayBuffer(ARENA_BYTES), ARENA_ADDRESS) });
    this.depth = depth;
    this.descriptors = new ArrayBuffer(depth * 24);
    this.#tags = Array.from({ length: depth }, () => ({
      address: null,
      request: null,
      servedAt: 0,
    }));
    this.native = {
      copy: (to: number, from: number, bytes: number) =>
        this.memory(to, bytes).set(this.memory(from, bytes)),
      memoryMap: (bytes: number) => this.#map(new ArrayBuffer(bytes)),
      memoryMapFile: () => this.#map(this.descriptors),
      memoryUnmap: (memory: ArrayBuffer) => {
        for (const [address, bytes] of this.mappings) {
          if (bytes.buffer === memory) this.mappings.delete(address);
        }
      },
      fileOpen: () => {
        const result = this.openResults.shift() ?? 7;
        if (result >= 0) this.openFiles.add(result);
        return result;
      },
      fileClose: (fd: number) => (this.openFiles.delete(fd) ? 0 : -9),
    } as unknown as NativeAddon;
  }

  #map(memory: ArrayBuffer): NativeMapping {
    const address = this.#nextAddress;
    this.#nextAddress += 2 ** 30;
    this.mappings.set(address, new Uint8Array(memory));
    return { memory, address, hugePages: false };
  }

  /** The bytes at an address of the server; throws where it has none. */
  memory(address: number, bytes: number): Uint8Array {
    const at = address - this.arena.address;
    if (at >= 0 && at + bytes <= this.arena.bytes) return this.arena.u8.subarray(at, at + bytes);
    for (const [start, memory] of this.mappings) {
      if (address >= start && address + bytes <= start + memory.length) {
        return memory.subarray(address - start, address - start + bytes);
      }
    }
    throw new Error(`bad address ${address} (+${bytes})`);
  }

  registerHandler(handler: RingHandler): number {
    this.#handlerId += 1;
    this.handlers.set(this.#handlerId, handler);
    return this.#handlerId;
  }

  unregisterHandler(handlerId: number): void {
    if (!this.handlers.delete(handlerId)) throw new Error('a handler is registered');
  }

  registerFile(fd: number): number {
    this.registeredFiles.add(fd);
    return fd + 100;
  }

  unregisterFile(slot: number): void {
    if (!this.registeredFiles.delete(slot - 100)) throw new Error('a slot is in use');
  }

  command(
    slot: number,
    op: number,
    word0: number,
    word1: number,
    word2: number,
    word3: number,
    handlerId: number,
    token: number,
  ): void {
    const number = word0 >>> 16;
    const tag = this.#tags[number]!;
    this.commands.push([slot, op, word0 & 0xffff, number]);
    if (token !== number || !this.handlers.has(handlerId)) throw new Error('a tag is its token');
    if (tag.address !== null) throw new Error('the driver holds this tag already');
    if (op === COMMIT_AND_FETCH) this.#answer(number, tag, word1 | 0);
    else if (op !== FETCH) throw new Error('only two commands exist');
    tag.address = (word3 >>> 0) * 2 ** 32 + (word2 >>> 0);
    if (this.refuse !== 0) this.retire(number, this.refuse);
  }

  #answer(number: number, tag: Tag, result: number): void {
    const { request } = tag;
    if (request === null) throw new Error('a commit answers a request');
    const data = request.op === 0 && result > 0 ? this.memory(tag.servedAt, result).slice() : null;
    tag.request = null;
    this.answers.push({ tag: number, result, data });
  }

  /** Address of the buffer with which `tag` waits, or null while the server has the tag. */
  waitsAt(number: number): number | null {
    return this.#tags[number]!.address;
  }

  /** A request arrives on a tag that waits. */
  deliver(number: number, request: Request): void {
    const tag = this.#tags[number]!;
    if (tag.address === null) throw new Error('a request needs a waiting tag');
    const view = new DataView(this.descriptors, number * 24, 24);
    view.setUint32(0, (request.op | (request.flags ?? 0)) >>> 0, true);
    view.setUint32(4, request.sectors, true);
    view.setBigUint64(8, BigInt(request.start ?? 0), true);
    view.setBigUint64(16, BigInt(tag.address), true);
    if (request.data !== undefined) {
      this.memory(tag.address, request.data.length).set(request.data);
    }
    tag.servedAt = tag.address;
    tag.request = request;
    tag.address = null;
    this.complete(number, 0);
  }

  /** The driver gives a waiting tag back for good. */
  retire(number: number, result = -19): void {
    const tag = this.#tags[number]!;
    if (tag.address === null) throw new Error('only a waiting tag retires');
    tag.address = null;
    this.schedule(new Later(() => this.complete(number, result)), 0);
  }

  /** A completion, whatever the model thinks of it. */
  complete(number: number, result: number): void {
    this.handlers.get(0)!.ringComplete(number, result, 0);
  }

  /** The answer given last. */
  get last(): Answer {
    return this.answers.at(-1)!;
  }

  /** Lets `us` microseconds pass with every timer that falls due. */
  pass(us: number): void {
    const end = this.nowUs() + us;
    let over = false;
    this.schedule(
      new Later(() => {
        over = true;
      }),
      us,
    );
    while (!over && this.nowUs() <= end) {
      if (this.busy) this.turn();
      else this.advance();
    }
  }
}

class Later {
  dueUs = -1;
  order = 0;
  readonly expire: () => void;

  constructor(expire: () => void) {
    this.expire = expire;
  }
}

/** A device that answers only when the test says so. */
export class ManualDevice implements BlockDevice {
  readonly name = 'manual';
  readonly geometry: Geometry;
  observer = null;
  readonly submitted: BlockIo[] = [];

  constructor(changes: Partial<Geometry> = {}) {
    this.geometry = {
      blockBytes: 4096,
      blockCount: 1000,
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: 0,
      requestBlocksMax: 256,
      physicalBlockBytes: 4096,
      rotational: false,
      volatileCache: true,
      features: FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA,
      trimGranularityBlocks: 1,
      ...changes,
    };
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  submit(io: BlockIo): void {
    if (checkIo(this.geometry, io) !== OK) throw new Error('an operation passes checkIo');
    this.submitted.push(io);
  }

  /** Completes the oldest operation, or `io`. */
  finish(status = OK, io = this.submitted[0]!): void {
    this.submitted.splice(this.submitted.indexOf(io), 1);
    io.status = status;
    io.completer.complete(io);
  }

  describe(): DeviceDescription {
    return { kind: 'manual', name: this.name, children: [], details: {} };
  }
}
