/**
 * FileDevice: a block device or a regular file, through the ring.                     (data plane)
 *
 * Each operation takes a token of a fixed table while it is in the kernel; operations beyond that
 * queue. Completions come from the ring and are decided here:
 *   - a short read or write is resubmitted for the rest (the kernel may stop at any block);
 *   - EINTR and EAGAIN are retried, a bounded number of times;
 *   - a method to trim or zero that turns out unsupported is replaced by the next best, for good;
 *   - any other error is the operation's status; the first that says that the device is gone is
 *     also told to the observer (law 9).
 *
 * Trims and write-zeroes advance in steps of a bounded size, so that a terabyte does not sit in the
 * kernel as one call; with FUA a data sync ends them.
 *
 * Files in memory (tmpfs) are the exception: the ring has no asynchronous way to them and hands
 * each operation to a worker thread of the kernel, which often costs more than moving the bytes.
 * Reads and writes of such a file, up to a limit, are therefore done at once where that is faster
 * (at-once-policy.ts), and complete in a later turn like any other; what does not go through whole
 * takes the way of all others.
 *
 * With a deadline, a device that does not answer is reported to its observer. If that goes on
 * without it, what would change something is given back as failed, although the kernel may still
 * carry it out: into a device that nobody relies on any more, and that cannot be opened again
 * before the kernel has let go of it. Reads wait: the kernel may still write into their memory.
 *
 * Not here: opening, exclusive use, block size, O_DIRECT or not (file-open.ts).
 */

import { assert } from '../block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  type Geometry,
} from '../block/block-device.ts';
import {
  BlockIo,
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
} from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import type { Reactor } from '../block/reactor.ts';
import {
  EAGAIN,
  EINTR,
  EIO,
  ENODEV,
  ENXIO,
  EOPNOTSUPP,
  ESHUTDOWN,
  ETIMEDOUT,
  OK,
} from '../block/status.ts';
import type { NativeAddon } from '../native/addon.ts';
import type { Ring, RingHandler } from '../reactor/ring.ts';
import { RWF_DSYNC } from '../reactor/uring.ts';
import { AtOncePolicy } from './at-once-policy.ts';
import { Deadline } from './deadline.ts';
import {
  type FileDeviceOptions,
  METHOD_DISCARD,
  METHOD_NONE,
  METHOD_PUNCH,
  METHOD_PUNCH_ALLOCATE,
  METHOD_ZERO,
  MODE_ALLOCATE,
  MODE_PUNCH,
  MODE_ZERO,
  type OpenedFile,
  openFile,
} from './file-open.ts';
import { afterCompletions } from './leaf-device.ts';

const DEPTH_DEFAULT = 512;
const RETRIES_MAX = 200;
/** The longest transfer that is done at once: more would keep all else waiting. */
const AT_ONCE_BYTES_MAX = 128 * 1024;
/** The longest that counts as small. */
const SMALL_BYTES_MAX = 32 * 1024;
/** Windows of the at-once policies, in operations, and from how many on it is worth trying. */
const SMALL_WINDOW_OPS = 1024;
const SMALL_CROWD = 8;
const LARGE_WINDOW_OPS = 256;
const LARGE_CROWD = 4;
/** Longest step of a trim or write-zeroes. */
const RANGE_BYTES_MAX = 2 ** 30;

/** What a token of a trim or write-zeroes is doing. */
const STAGE_RANGE = 0;
/** Allocating again what METHOD_PUNCH_ALLOCATE has punched. */
const STAGE_ALLOCATE = 1;
/** The data sync at the end, for FUA. */
const STAGE_SYNC = 2;

/** Stands for an operation that was given back before the kernel was done with it. */
const ABANDONED = new BlockIo();

const CLOSED: Geometry = {
  blockBytes: 4096,
  blockCount: 0,
  writeUnitBlocks: 1,
  optimalBoundaryBlocks: 0,
  requestBlocksMax: 1,
  physicalBlockBytes: 4096,
  rotational: false,
  volatileCache: true,
  features: 0,
  trimGranularityBlocks: 1,
};

export class FileDevice implements BlockDevice, RingHandler {
  readonly name: string;
  geometry: Geometry = CLOSED;
  observer: DeviceObserver | null = null;
  readonly #options: FileDeviceOptions;
  readonly #depth: number;
  #ring: Ring | null = null;
  #file: OpenedFile | null = null;
  #open = false;
  #slot = -1;
  #handlerId = -1;
  #blockBytes = 4096;
  /** Descriptor of a file in memory, or -1. */
  #atOnceFd = -1;
  #arenaAddress = 0;
  #native: NativeAddon | null = null;
  readonly #smallPolicy = new AtOncePolicy(SMALL_WINDOW_OPS, SMALL_CROWD);
  readonly #largePolicy = new AtOncePolicy(LARGE_WINDOW_OPS, LARGE_CROWD);
  #trimMethod = METHOD_NONE;
  #zeroMethod = METHOD_NONE;
  #zeroKeepMethod = METHOD_NONE;
  /** By token: the operation in the kernel; bytes done; retries of the step; STAGE_*. */
  readonly #ios: (BlockIo | null)[];
  readonly #doneBytes: Float64Array;
  readonly #stages: Uint8Array;
  /** METHOD_* that the current step was issued with; the device's own may change meanwhile. */
  readonly #methods: Uint8Array;
  readonly #retries: Uint8Array;
  /** Tick of the deadline at which its step was begun. */
  readonly #begun: Uint32Array;
  readonly #deadline: Deadline | null;
  /** Stack of free tokens. */
  readonly #freeTokens: Uint32Array;
  #freeCount = 0;
  readonly #waiting = new BlockIoQueue();
  #inFlight = 0;
  #drained: (() => void) | null = null;
  #goneReported = false;

  constructor(path: string, options: FileDeviceOptions = {}) {
    this.name = path;
    this.#options = options;
    this.#depth = options.depth ?? DEPTH_DEFAULT;
    this.#ios = new Array<BlockIo | null>(this.#depth).fill(null);
    this.#doneBytes = new Float64Array(this.#depth);
    this.#stages = new Uint8Array(this.#depth);
    this.#methods = new Uint8Array(this.#depth);
    this.#retries = new Uint8Array(this.#depth);
    this.#begun = new Uint32Array(this.#depth);
    const { deadlineUs = 0 } = options;
    this.#deadline = deadlineUs === 0 ? null : new Deadline(deadlineUs, () => this.#overdue());
    this.#freeTokens = Uint32Array.from({ length: this.#depth }, (_, token) => token);
    this.#freeCount = this.#depth;
  }

  /** Throws BandstandError when the path cannot be used; needs a reactor with a ring. */
  async open(reactor: Reactor): Promise<void> {
    assert(this.#ring === null, 'a device is opened once');
    assert('readAt' in reactor, 'a file device runs on a ring');
    const ring = reactor as Ring;
    const file = await openFile(ring, this.name, this.#options);
    this.#ring = ring;
    this.#file = file;
    this.#slot = file.slot;
    this.geometry = file.geometry;
    this.#blockBytes = file.geometry.blockBytes;
    this.#atOnceFd = file.inMemory && this.#options.atOnce !== false ? file.fd : -1;
    this.#arenaAddress = ring.arena.address;
    this.#native = ring.native;
    this.#trimMethod = file.trimMethod;
    this.#zeroMethod = file.zeroMethod;
    this.#zeroKeepMethod = file.zeroKeepMethod;
    this.#handlerId = ring.registerHandler(this);
    this.#goneReported = false;
    this.#open = true;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
      this.#drained = null;
    }
    const ring = this.#ring!;
    this.#deadline?.cancel();
    if (this.#atOnceFd >= 0) await afterCompletions(ring);
    ring.unregisterHandler(this.#handlerId);
    ring.unregisterFile(this.#slot);
    ring.native.fileClose(this.#file!.fd);
    this.#ring = null;
    this.#file = null;
  }

  /** Control plane: looks whether the device has grown, and tells the observer. */
  refreshSize(): void {
    if (!this.#open) return;
    const { sizeBytes } = this.#native!.deviceInfo(this.#file!.fd);
    const blockCount = Math.floor(sizeBytes / this.#blockBytes);
    // One that has shrunk answers what lies beyond its end with errors, as it should.
    if (blockCount <= this.geometry.blockCount) return;
    this.geometry = { ...this.geometry, blockCount };
    this.observer?.deviceResized(this);
  }

  describe(): DeviceDescription {
    const file = this.#file;
    return {
      kind: file?.kind ?? 'file',
      name: this.name,
      children: [],
      details: {
        size_bytes: this.geometry.blockCount * this.geometry.blockBytes,
        block_bytes: this.geometry.blockBytes,
        access: file === null ? null : file.direct ? 'direct' : 'buffered',
        read_only: this.#options.readOnly ?? false,
        volatile_cache: this.geometry.volatileCache,
      },
    };
  }

  // data path

  submit(io: BlockIo): void {
    assert(this.#open, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    if (this.#atOnceFd >= 0 && io.op <= OP_WRITE && this.#doneAtOnce(io)) return;
    this.#inFlight += 1;
    if (this.#freeCount === 0) this.#waiting.push(io);
    else this.#start(io);
  }

  /**
   * Moves the bytes of an operation on a file in memory; false when that did not do it. FUA
   * needs nothing more: such a file system has nothing to sync to.
   */
  #doneAtOnce(io: BlockIo): boolean {
    const bytes = io.blockCount * this.#blockBytes;
    if (bytes > AT_ONCE_BYTES_MAX) return false;
    const policy = bytes > SMALL_BYTES_MAX ? this.#largePolicy : this.#smallPolicy;
    if (!policy.choose(this.#ring!.nowUs(), this.#inFlight)) return false;
    const native = this.#native!;
    const address = this.#arenaAddress + io.buffer;
    const fileByte = io.block * this.#blockBytes;
    const moved =
      io.op === OP_READ
        ? native.fileReadNow(this.#atOnceFd, address, bytes, fileByte)
        : native.fileWriteNow(this.#atOnceFd, address, bytes, fileByte);
    if (moved !== bytes) return false;
    this.#ring!.finish(io, OK);
    return true;
  }

  ringComplete(token: number, result: number, _flags: number): void {
    const io = this.#ios[token];
    assert(io !== null && io !== undefined, 'a completion belongs to an operation');
    if (io === ABANDONED) {
      this.#release(token);
      return;
    }
    if (result < 0) this.#stepFailed(token, io, -result);
    else if (io.op <= OP_WRITE) this.#transferred(token, io, result);
    else if (io.op === OP_FLUSH) this.#complete(token, io, OK);
    else this.#rangeStepDone(token, io);
  }

  #start(io: BlockIo): void {
    this.#freeCount -= 1;
    const token = this.#freeTokens[this.#freeCount]!;
    this.#ios[token] = io;
    this.#doneBytes[token] = 0;
    this.#stages[token] = STAGE_RANGE;
    this.#retries[token] = 0;
    this.#issue(token, io);
  }

  /** Submits the next step of an operation, or the same one again. */
  #issue(token: number, io: BlockIo): void {
    const ring = this.#ring!;
    const op = io.op;
    // Each step has its time: zeroing a terabyte may take long, and is no device that hangs.
    if (this.#deadline !== null) this.#begun[token] = this.#deadline.begin(ring);
    if (op <= OP_WRITE) {
      const done = this.#doneBytes[token]!;
      const fileByte = io.block * this.#blockBytes + done;
      const bytes = io.blockCount * this.#blockBytes - done;
      const at = io.buffer + done;
      if (op === OP_READ) {
        ring.readAt(this.#slot, fileByte, at, bytes, this.#handlerId, token);
      } else {
        const rwFlags = (io.flags & FLAG_FUA) !== 0 ? RWF_DSYNC : 0;
        ring.writeAt(this.#slot, fileByte, at, bytes, rwFlags, this.#handlerId, token);
      }
    } else if (op === OP_FLUSH) {
      ring.syncData(this.#slot, this.#handlerId, token);
    } else {
      this.#issueRange(token, io);
    }
  }

  #issueRange(token: number, io: BlockIo): void {
    const ring = this.#ring!;
    const stage = this.#stages[token]!;
    if (stage === STAGE_SYNC) {
      ring.syncData(this.#slot, this.#handlerId, token);
      return;
    }
    const done = this.#doneBytes[token]!;
    const fileByte = io.block * this.#blockBytes + done;
    const bytes = this.#stepBytes(token, io);
    const method = this.#methodOf(io);
    this.#methods[token] = method;
    if (stage === STAGE_RANGE && method === METHOD_DISCARD) {
      ring.discardRange(this.#slot, fileByte, bytes, this.#handlerId, token);
      return;
    }
    let mode = MODE_PUNCH;
    if (stage === STAGE_ALLOCATE) mode = MODE_ALLOCATE;
    else if (method === METHOD_ZERO) mode = MODE_ZERO;
    ring.allocateRange(this.#slot, mode, fileByte, bytes, this.#handlerId, token);
  }

  #methodOf(io: BlockIo): number {
    if (io.op === OP_TRIM) return this.#trimMethod;
    return (io.flags & FLAG_NOUNMAP) !== 0 ? this.#zeroKeepMethod : this.#zeroMethod;
  }

  #stepBytes(token: number, io: BlockIo): number {
    return Math.min(RANGE_BYTES_MAX, io.blockCount * this.#blockBytes - this.#doneBytes[token]!);
  }

  #transferred(token: number, io: BlockIo, bytes: number): void {
    const total = io.blockCount * this.#blockBytes;
    if (bytes === total) {
      this.#complete(token, io, OK);
      return;
    }
    // The kernel stopped early; whole blocks count, so that the rest stays aligned for O_DIRECT.
    const done = this.#doneBytes[token]! + Math.floor(bytes / this.#blockBytes) * this.#blockBytes;
    if (done === total) {
      this.#complete(token, io, OK);
    } else if (bytes === 0) {
      // Nothing was moved and nothing is wrong: the file ends here although it was longer at open.
      this.#complete(token, io, EIO);
    } else if (bytes < this.#blockBytes) {
      this.#stepFailed(token, io, EAGAIN);
    } else {
      this.#doneBytes[token] = done;
      this.#retries[token] = 0;
      this.#issue(token, io);
    }
  }

  #rangeStepDone(token: number, io: BlockIo): void {
    const stage = this.#stages[token]!;
    this.#retries[token] = 0;
    if (stage === STAGE_SYNC) {
      this.#complete(token, io, OK);
      return;
    }
    if (stage === STAGE_RANGE && this.#methods[token] === METHOD_PUNCH_ALLOCATE) {
      this.#stages[token] = STAGE_ALLOCATE;
      this.#issue(token, io);
      return;
    }
    const done = this.#doneBytes[token]! + this.#stepBytes(token, io);
    this.#doneBytes[token] = done;
    this.#stages[token] = STAGE_RANGE;
    if (done === io.blockCount * this.#blockBytes) {
      if ((io.flags & FLAG_FUA) === 0) {
        this.#complete(token, io, OK);
        return;
      }
      this.#stages[token] = STAGE_SYNC;
    }
    this.#issue(token, io);
  }

  #stepFailed(token: number, io: BlockIo, errno: number): void {
    if ((errno === EINTR || errno === EAGAIN) && this.#retries[token]! < RETRIES_MAX) {
      this.#retries[token]! += 1;
      this.#issue(token, io);
      return;
    }
    if (errno === EOPNOTSUPP && io.op > OP_FLUSH && this.#changeMethod(token, io)) {
      this.#issue(token, io);
      return;
    }
    if (errno === ENODEV || errno === ENXIO || errno === ESHUTDOWN) this.#reportGone(errno);
    this.#complete(token, io, errno);
  }

  /**
   * Replaces a method that the kernel did not know after all: a device that cannot free what it
   * zeroes is zeroed in place, a file system that cannot zero in place gets a hole and then blocks.
   */
  #changeMethod(token: number, io: BlockIo): boolean {
    if (io.op === OP_TRIM || this.#stages[token] !== STAGE_RANGE) return false;
    // Another operation has found out first.
    if (this.#methods[token] !== this.#methodOf(io)) return true;
    const block = this.#file?.kind === 'block';
    if ((io.flags & FLAG_NOUNMAP) === 0) {
      if (!block || this.#zeroMethod !== METHOD_PUNCH) return false;
      this.#zeroMethod = METHOD_ZERO;
      return true;
    }
    if (block || this.#zeroKeepMethod !== METHOD_ZERO) return false;
    this.#zeroKeepMethod = METHOD_PUNCH_ALLOCATE;
    return true;
  }

  #complete(token: number, io: BlockIo, status: number): void {
    this.#release(token);
    io.status = status;
    io.completer.complete(io);
  }

  #release(token: number): void {
    this.#ios[token] = null;
    this.#freeTokens[this.#freeCount] = token;
    this.#freeCount += 1;
    const next = this.#waiting.shift();
    if (next !== null) this.#start(next);
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#drained !== null) this.#drained();
  }

  /** A tick of the deadline: true while something is in flight. */
  #overdue(): boolean {
    const deadline = this.#deadline!;
    let late = false;
    for (let token = 0; token < this.#depth; token += 1) {
      const io = this.#ios[token]!;
      if (io !== null && io !== ABANDONED && deadline.isLate(this.#begun[token]!)) late = true;
    }
    if (late && this.observer?.deviceOverdue(this) === true) this.#abandon();
    return this.#inFlight > 0;
  }

  /** Gives back everything that would change something; its tokens stay with the kernel. */
  #abandon(): void {
    for (let left = this.#waiting.length; left > 0; left -= 1) {
      this.#inFlight -= 1;
      this.#ring!.finish(this.#waiting.shift()!, ETIMEDOUT);
    }
    for (let token = 0; token < this.#depth; token += 1) {
      const io = this.#ios[token]!;
      if (io === null || io === ABANDONED || io.op === OP_READ) continue;
      this.#ios[token] = ABANDONED;
      this.#ring!.finish(io, ETIMEDOUT);
    }
  }

  #reportGone(errno: number): void {
    if (this.#goneReported) return;
    this.#goneReported = true;
    this.observer?.deviceFailed(this, errno);
  }

  // end data path
}
