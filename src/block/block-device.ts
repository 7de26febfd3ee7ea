/**
 * BlockDevice: the one abstraction that every layer offers and consumes.              (data plane)
 *
 * Devices, filters, RAID arrays, the FTL: each is a BlockDevice over other BlockDevices and knows
 * neither what is below nor what is above.
 *
 * The laws (each is a test in test/device/conformance.ts, run over every device and stack):
 *
 *  1. Every submitted operation completes exactly once; between, the submitter does not touch it.
 *  2. `submit` neither throws nor awaits nor completes inline: completion comes in a later turn.
 *  3. Operating errors are a `status`. Breaking a precondition (range, alignment, feature) is a
 *     bug: an assertion. Untrusted input is checked once, in the exporter, with `checkIo`. A device
 *     whose features follow its members may answer EOPNOTSUPP: the check may precede the change.
 *  4. No order is promised between outstanding operations. A flush covers the writes (and trims
 *     and write-zeroes) that completed before it was submitted. FUA covers its own operation.
 *  5. A write that completed OK is returned by later reads. A write that failed, or was in flight
 *     at a crash, leaves its blocks old, new or torn; with FEATURE_ATOMIC_BLOCK never torn inside
 *     one block.
 *  6. After OP_WRITE_ZEROES blocks read as zeroes. After OP_TRIM their content is undefined until
 *     written; with FEATURE_TRIM_ZEROES it reads as zeroes.
 *  7. Payload memory belongs to the submitter until completion gives it back; the device keeps no
 *     reference afterwards. A write does not change its payload.
 *  8. Back-pressure never fails an operation: a device queues on an intrusive list.
 *  9. A failed device is reported once through its observer, not once per operation.
 * 10. `close` waits for the operations in flight; it implies no flush; a second close is a no-op.
 */

import { type BlockIo, OP_FLUSH, OP_READ, OP_TRIM, OP_WRITE, OP_WRITE_ZEROES } from './block-io.ts';
import type { Reactor } from './reactor.ts';
import { EINVAL, EOPNOTSUPP, EROFS, OK } from './status.ts';

/** The device refuses writes. */
export const FEATURE_READ_ONLY = 1;
/** OP_TRIM does something. */
export const FEATURE_TRIM = 2;
/** OP_WRITE_ZEROES is native (faster than writing zeroes). */
export const FEATURE_WRITE_ZEROES = 4;
/** FLAG_FUA is native. Without it a layer above writes, then flushes. */
export const FEATURE_FUA = 8;
/** Trimmed blocks read as zeroes. */
export const FEATURE_TRIM_ZEROES = 16;
/** A block is never torn by a crash. */
export const FEATURE_ATOMIC_BLOCK = 32;

/** What a device is like; fixed from `open` to `close` except for a reported resize. */
export interface Geometry {
  /** Bytes per block: 512 or 4096. All positions and counts are in these blocks. */
  readonly blockBytes: number;
  readonly blockCount: number;
  /** Writes, trims and write-zeroes are multiples of it at multiples of it: 1, or a full stripe. */
  readonly writeUnitBlocks: number;
  /** Operations that stay inside a multiple of it are cheapest (a strip); 0 = no preference. */
  readonly optimalBoundaryBlocks: number;
  /** Largest read or write. */
  readonly requestBlocksMax: number;
  /** The size below which the medium itself reads, modifies and writes, in bytes. */
  readonly physicalBlockBytes: number;
  readonly rotational: boolean;
  /** True when a completed write may be lost by a power cut before a flush. */
  readonly volatileCache: boolean;
  /** FEATURE_* bits. */
  readonly features: number;
  /** Smallest unit and alignment of OP_TRIM that frees anything; 1 unless known. */
  readonly trimGranularityBlocks: number;
}

/** JSON-ready description for status and logs; keys are snake_case with units. */
export interface DeviceDescription {
  readonly kind: string;
  readonly name: string;
  readonly children: readonly DeviceDescription[];
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

/** Told about what happens to a device between operations; called from a reactor turn. */
export interface DeviceObserver {
  /** The device is gone or can no longer be trusted (law 9). `status` says why. */
  deviceFailed(device: BlockDevice, status: number): void;
  /** `geometry` has changed: its size, or what it offers. */
  deviceResized(device: BlockDevice): void;
  /**
   * Operations have been in the device for longer than its deadline. True: whoever uses it goes on
   * without it, and what changes something may be given back as failed (ETIMEDOUT).
   */
  deviceOverdue(device: BlockDevice): boolean;
}

export interface BlockDevice {
  /** For messages: the path or specification that the user gave. */
  readonly name: string;
  /** Valid from `open` on. */
  readonly geometry: Geometry;
  observer: DeviceObserver | null;
  /** Opens the device (and those below it). Throws BandstandError; then nothing is left open. */
  open(reactor: Reactor): Promise<void>;
  close(): Promise<void>;
  /** Data plane. The operation has passed `checkIo`. */
  submit(io: BlockIo): void;
  /**
   * Data plane. How many of the `blockCount` blocks from `block` on are alike, at least one: above
   * zero when they hold data, below zero when they hold none and read as zeroes. A device that does
   * not know this does not have it: everything counts as data.
   */
  allocationAt?(block: number, blockCount: number): number;
  describe(): DeviceDescription;
}

/** OK, or the errno with which an untrusted operation is refused. */
export function checkIo(geometry: Geometry, io: BlockIo): number {
  const op = io.op;
  if (op === OP_FLUSH) return OK;
  const { block, blockCount } = io;
  // Stated positively, so that NaN is refused too.
  if (!(blockCount > 0 && block >= 0 && block + blockCount <= geometry.blockCount)) return EINVAL;
  if (op === OP_READ) return blockCount <= geometry.requestBlocksMax ? OK : EINVAL;
  if ((geometry.features & FEATURE_READ_ONLY) !== 0) return EROFS;
  const unit = geometry.writeUnitBlocks;
  if (unit !== 1 && !(isMultiple(block, unit) && isMultiple(blockCount, unit))) return EINVAL;
  if (op === OP_WRITE) return blockCount <= geometry.requestBlocksMax ? OK : EINVAL;
  if (op === OP_TRIM) return (geometry.features & FEATURE_TRIM) !== 0 ? OK : EOPNOTSUPP;
  if (op === OP_WRITE_ZEROES) {
    return (geometry.features & FEATURE_WRITE_ZEROES) !== 0 ? OK : EOPNOTSUPP;
  }
  return EINVAL;
}

function isMultiple(value: number, unit: number): boolean {
  return Math.floor(value / unit) * unit === value;
}
