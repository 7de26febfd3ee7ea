/**
 * FtlCore: what the parts of an FTL share.                                            (data plane)
 *
 * The map, the bands and the write buffer, the counters from which sequences come, what is known to
 * be durable, and the verdict when the device cannot go on. Parts tell each other by `wake` that
 * something has changed; what follows from it is done once, at the end of the turn.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import { EROFS } from '../block/status.ts';
import type { Bands } from './bands.ts';
import type { FtlStatistics } from './ftl-statistics.ts';
import type { FtlGeometry } from './geometry.ts';
import type { L2p } from './l2p.ts';
import type { Superseders } from './superseders.ts';
import type { Throttle } from './throttle.ts';
import { makeSequence } from './unit-format.ts';
import type { WriteBuffer } from './write-buffer.ts';

export interface FtlCoreHost {
  /** Something has changed: look at the end of the turn what can go on. */
  wake(): void;
  /** From now on nothing is changed any more. */
  failed(status: number, reason: string): void;
}

export interface FtlCoreParts {
  readonly reactor: Reactor;
  readonly base: BlockDevice;
  readonly geometry: FtlGeometry;
  readonly l2p: L2p;
  readonly bands: Bands;
  readonly buffer: WriteBuffer;
  readonly device: readonly [low: number, high: number];
  readonly superseders: Superseders;
  readonly throttle: Throttle;
  readonly statistics: FtlStatistics;
  readonly host: FtlCoreHost;
}

export class FtlCore {
  readonly reactor: Reactor;
  readonly base: BlockDevice;
  readonly geometry: FtlGeometry;
  readonly l2p: L2p;
  readonly bands: Bands;
  readonly buffer: WriteBuffer;
  readonly superseders: Superseders;
  readonly throttle: Throttle;
  readonly statistics: FtlStatistics;
  readonly deviceLow: number;
  readonly deviceHigh: number;
  /** Blocks of the base per block. */
  readonly factor: number;
  /** Number of this life of the device. */
  epoch = 0;
  /** Units sealed in this epoch. */
  unitNumber = 0;
  /** Of the newest write. */
  writeSequence = 0;
  /** Units with a lower sequence are durable. */
  durableSequence = 0;
  /** Units with a lower sequence are in the newest checkpoint. */
  checkpointed = 0;
  /** Sequences of the first and the last unit since then whose write has failed. */
  firstFailed = Number.POSITIVE_INFINITY;
  lastFailed = 0;
  /** Why nothing is changed any more; 0 while everything is well. */
  failureStatus = 0;
  failureReason: string | null = null;
  readonly #host: FtlCoreHost;

  constructor(parts: FtlCoreParts) {
    this.reactor = parts.reactor;
    this.base = parts.base;
    this.geometry = parts.geometry;
    this.l2p = parts.l2p;
    this.bands = parts.bands;
    this.buffer = parts.buffer;
    this.superseders = parts.superseders;
    this.throttle = parts.throttle;
    this.statistics = parts.statistics;
    this.deviceLow = parts.device[0];
    this.deviceHigh = parts.device[1];
    this.factor = 4096 / parts.base.geometry.blockBytes;
    this.#host = parts.host;
  }

  /** The sequence that the next unit to be sealed will have. */
  get nextUnitSequence(): number {
    return makeSequence(this.epoch, this.unitNumber + 1);
  }

  // data path

  /** A unit that failed may be there in part: its sequence must never pass for durable. */
  noteFailed(sequence: number): void {
    this.firstFailed = Math.min(this.firstFailed, sequence);
    this.lastFailed = Math.max(this.lastFailed, sequence);
  }

  /** A checkpoint has begun with this unit sequence and counts now. */
  noteCheckpoint(start: number): void {
    this.checkpointed = start;
    if (this.lastFailed < start) this.firstFailed = Number.POSITIVE_INFINITY;
    else this.firstFailed = Math.max(this.firstFailed, start);
  }

  /** Nothing is ever changed, which is no failure. */
  openReadOnly(): void {
    this.failureStatus = EROFS;
    this.failureReason = 'it was opened to be read';
  }

  wake(): void {
    this.#host.wake();
  }

  /** Block of the base where the place is. */
  baseBlock(place: number): number {
    const { firstBandUnit, unitBlocks } = this.geometry;
    return (firstBandUnit * unitBlocks + place) * this.factor;
  }

  /** The first reason counts. */
  fail(status: number, reason: string): void {
    if (this.failureStatus !== 0) return;
    this.failureStatus = status;
    this.failureReason = reason;
    this.#host.failed(status, reason);
    this.#host.wake();
  }

  // end data path
}
