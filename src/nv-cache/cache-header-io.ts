/**
 * Reading and writing the header of an NV cache.                                    (control plane)
 *
 * The newest valid copy counts. Where one copy is damaged the other one is used, and a clean mark
 * in it is not believed: a power cut may have torn the newer one. One that cannot be read is
 * another matter: it may be whole, and say that the ring holds nothing.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BlockIo, type Completer, OP_FLUSH, OP_WRITE } from '../block/block-io.ts';
import { readBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import { CACHE_BLOCK_BYTES } from './cache-format.ts';
import {
  type CacheHeader,
  decodeCacheHeader,
  encodeCacheHeader,
  hasCacheSignature,
  headerCopy,
} from './cache-header.ts';

export interface FoundHeader {
  readonly header: CacheHeader;
  /** Copies that are damaged: 0 or 1. */
  readonly damagedCopies: number;
}

interface Copy {
  readonly header: CacheHeader | null;
  /** Null when nothing there claims to be one. */
  readonly why: BandstandError | null;
}

async function readCopy(reactor: Reactor, cache: BlockDevice, copy: number): Promise<Copy> {
  const factor = CACHE_BLOCK_BYTES / cache.geometry.blockBytes;
  const where = `at block ${copy} of ${cache.name}`;
  let bytes: Uint8Array;
  try {
    bytes = await readBlocks(reactor, cache, copy * factor, factor);
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    throw new BandstandError('BANDSTAND_CACHE_UNREADABLE', {
      message: `cannot use the NV cache on ${cache.name}: its header ${where} cannot be read: ${error.message}`,
      hint: 'look at the device, and try again',
      details: { device: cache.name, copy },
    });
  }
  if (!hasCacheSignature(bytes)) return { header: null, why: null };
  try {
    return { header: decodeCacheHeader(bytes, where), why: null };
  } catch (error) {
    const isDamaged = error instanceof BandstandError && error.code === 'BANDSTAND_CACHE_HEADER';
    if (!isDamaged) throw error;
    return { header: null, why: error };
  }
}

/**
 * Throws BANDSTAND_CACHE_NOT_FOUND, _UNREADABLE, _VERSION, _INCONSISTENT (copies of two caches), or
 * _HEADER: what is wrong with the only copies there are.
 */
export async function readCacheHeader(reactor: Reactor, cache: BlockDevice): Promise<FoundHeader> {
  const copies = [await readCopy(reactor, cache, 0), await readCopy(reactor, cache, 1)];
  const [one, other] = copies.flatMap(({ header }) => header ?? []);
  if (one === undefined) {
    const why = copies.find((copy) => copy.why !== null)?.why;
    if (why != null) throw why;
    throw new BandstandError('BANDSTAND_CACHE_NOT_FOUND', {
      message: `cannot use ${cache.name} as an NV cache: it has no header of one`,
      hint: 'create it first',
      details: { device: cache.name },
    });
  }
  if (other === undefined) return { header: { ...one, currentAddress: null }, damagedCopies: 1 };
  if (one.uuid !== other.uuid) {
    throw new BandstandError('BANDSTAND_CACHE_INCONSISTENT', {
      message: `cannot use the NV cache on ${cache.name}: its headers are of two caches, ${one.uuid} and ${other.uuid}`,
      hint: 'create it anew; its creation was interrupted, or something else wrote to it',
      details: { device: cache.name, uuids: [one.uuid, other.uuid] },
    });
  }
  return { header: one.sequence > other.sequence ? one : other, damagedCopies: 0 };
}

/** What a header says that changes while the cache is in use. */
export type HeaderChanges = Partial<
  Pick<
    CacheHeader,
    | 'currentAddress'
    | 'epoch'
    | 'headSequence'
    | 'lost'
    | 'lostSequence'
    | 'phase'
    | 'tailAddress'
    | 'tailPhase'
    | 'tailSequence'
  >
>;

/** Who has begun to write a header. */
export interface HeaderOwner {
  /** It is durable when the status is OK. */
  headerEnded(status: number): void;
}

/** Holds the newest header, and writes the next one: one at a time. */
export class HeaderKeeper implements Completer {
  readonly #cache: BlockDevice;
  readonly #reactor: Reactor;
  readonly #buffer: number;
  readonly #io = new BlockIo();
  #current: CacheHeader;
  #next: CacheHeader | null = null;
  #owner: HeaderOwner | null = null;
  /** Headers that were written. */
  writes = 0;

  constructor(reactor: Reactor, cache: BlockDevice, current: CacheHeader) {
    this.#reactor = reactor;
    this.#cache = cache;
    this.#current = current;
    this.#buffer = reactor.arena.allocate(CACHE_BLOCK_BYTES);
    this.#io.completer = this;
  }

  dispose(): void {
    this.#reactor.arena.release(this.#buffer, CACHE_BLOCK_BYTES);
  }

  get current(): CacheHeader {
    return this.#current;
  }

  get busy(): boolean {
    return this.#next !== null;
  }

  begin(changes: HeaderChanges, owner: HeaderOwner): void {
    assert(this.#next === null, 'one header is written at a time');
    const next = { ...this.#current, ...changes, sequence: this.#current.sequence + 1 };
    this.#next = next;
    this.#owner = owner;
    this.#reactor.arena.u8.set(encodeCacheHeader(next), this.#buffer);
    const factor = CACHE_BLOCK_BYTES / this.#cache.geometry.blockBytes;
    const io = this.#io;
    io.op = OP_WRITE;
    io.block = headerCopy(next.sequence) * factor;
    io.blockCount = factor;
    io.buffer = this.#buffer;
    this.writes += 1;
    this.#cache.submit(io);
  }

  complete(io: BlockIo): void {
    const isWritten = io.op === OP_WRITE && io.status === OK;
    if (isWritten && this.#cache.geometry.volatileCache) {
      io.op = OP_FLUSH;
      io.block = 0;
      io.blockCount = 0;
      this.#cache.submit(io);
      return;
    }
    // A copy that failed may be there all the same: the next one goes over it again.
    if (io.status === OK) this.#current = this.#next!;
    const owner = this.#owner!;
    this.#next = null;
    this.#owner = null;
    owner.headerEnded(io.status);
  }

  /** Durable when it resolves. Throws BANDSTAND_DEVICE_IO. */
  write(changes: HeaderChanges): Promise<void> {
    return new Promise((resolve, reject) => {
      this.begin(changes, {
        headerEnded: (status) => {
          if (status === OK) resolve();
          else reject(headerNotWritten(this.#cache, status));
        },
      });
    });
  }
}

function headerNotWritten(cache: BlockDevice, status: number): BandstandError {
  return new BandstandError('BANDSTAND_CACHE_READ_ONLY', {
    message: `cannot write the header of the NV cache on ${cache.name} (status ${status})`,
    hint: 'look at the kernel log for this device (dmesg)',
    details: { device: cache.name, status },
  });
}
