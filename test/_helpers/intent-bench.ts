/**
 * A WriteIntent over RamDevices, with a host that ejects whom it can do without, and pieces that
 * are told when their bits are on disk.
 */

import { FEATURE_TRIM } from '../../src/block/block-device.ts';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { fuaWay } from '../../src/raid/array-members.ts';
import { plannedBitmap, REGIONS_PER_BLOCK } from '../../src/raid/bitmap-format.ts';
import { readBitmap } from '../../src/raid/bitmap-io.ts';
import type { IntentHost } from '../../src/raid/intent-host.ts';
import { Member } from '../../src/raid/member.ts';
import { Piece, type PieceOwner } from '../../src/raid/piece.ts';
import { WriteIntent } from '../../src/raid/write-intent.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { Alarm } from './alarm.ts';
import { RamDevice } from './ram-device.ts';

export const ARRAY_UUID = '00112233-4455-6677-8899-aabbccddeeff';
export const REGION_BLOCKS = 4;
export const IDLE_US = 1000;
const BLOCK_BYTES = 512;
const BITMAP_BLOCK = (128 * 1024) / BLOCK_BYTES;

export interface IntentBenchOptions {
  readonly members?: number;
  readonly regions?: number;
  /** How many members may be ejected. */
  readonly bears?: number;
  /** These have a volatile cache and no FUA. */
  readonly cached?: readonly number[];
  readonly states?: Uint8Array;
  readonly unsynced?: Uint8Array;
}

export class IntentBench implements IntentHost, PieceOwner {
  readonly reactor = new SimulatedReactor({ arenaBytes: 4 * 2 ** 20 });
  readonly blockBytes = BLOCK_BYTES;
  readonly disks: RamDevice[];
  readonly members: Member[];
  readonly intent: WriteIntent;
  readonly regions: number;
  targetDevice: RamDevice | null = null;
  readonly targetFailures: number[] = [];
  readonly ejected: number[] = [];
  /** Pieces that were told to go on, in order. */
  readonly proceeded: Piece[] = [];
  bears: number;

  constructor(options: IntentBenchOptions = {}) {
    const { members = 2, regions = 64, cached = [] } = options;
    this.bears = options.bears ?? members - 1;
    this.regions = regions;
    this.disks = Array.from({ length: members }, (_, slot) => {
      const geometry = cached.includes(slot) ? { volatileCache: true, features: FEATURE_TRIM } : {};
      return new RamDevice(`ram${slot}`, { blockCount: 2048, blockBytes: BLOCK_BYTES, geometry });
    });
    this.members = this.disks.map((disk, slot) => {
      const member = new Member(slot, null, disk, 2048, 0);
      member.fua = fuaWay(disk);
      void disk.open(this.reactor);
      return member;
    });
    this.intent = new WriteIntent(this, {
      arrayUuid: ARRAY_UUID,
      bitmap: this.bitmap,
      states: options.states ?? new Uint8Array(regions),
      unsynced: options.unsynced ?? null,
      idleUs: IDLE_US,
    });
  }

  get bitmap() {
    return plannedBitmap(this.regions * REGION_BLOCKS, REGION_BLOCKS);
  }

  get keepsMissed(): boolean {
    return this.members.some(({ device }) => device === null);
  }

  targetFailed(status: number): void {
    this.targetFailures.push(status);
    this.targetDevice = null;
    this.intent.safeBelow = 0;
  }

  metadataFailed(slot: number, _status: number): void {
    if (this.bears > 0 && this.members[slot]!.device !== null) this.eject(slot);
  }

  eject(slot: number): void {
    this.bears -= 1;
    this.members[slot]!.device = null;
    this.ejected.push(slot);
    this.intent.missAll();
  }

  complete(): void {
    throw new Error('no child was sent');
  }

  pieceLocked(): void {
    throw new Error('no lock was asked for');
  }

  pieceIntended(piece: Piece): void {
    this.proceeded.push(piece);
  }

  /** A write to whole regions; `ready` when it need not wait. */
  write(region: number, count = 1): { piece: Piece; ready: boolean } {
    const piece = new Piece(region, 1, this);
    piece.lock.first = region * REGION_BLOCKS;
    piece.lock.end = (region + count) * REGION_BLOCKS;
    return { piece, ready: this.intent.mark(piece.lock.first, piece.lock.end, piece) };
  }

  unmark({ lock }: Piece): void {
    this.intent.unmark(lock.first, lock.end);
  }

  /** A write that is over at once. */
  async writeDone(region: number, count = 1): Promise<void> {
    const { piece } = this.write(region, count);
    await this.settle();
    this.unmark(piece);
  }

  settle(): Promise<number> {
    return this.reactor.drive(this.intent.settled());
  }

  async pass(us: number): Promise<void> {
    await this.reactor.drive(
      new Promise<void>((resolve) => this.reactor.schedule(new Alarm(resolve), us)),
    );
  }

  /** What is on a member's disk: one byte a region. */
  async onDisk(slot: number): Promise<number[]> {
    const disk = this.disks[slot]!;
    const { reactor, bitmap, regions } = this;
    const reading = readBitmap(reactor, disk, bitmap, ARRAY_UUID, regions);
    return [...(await reactor.drive(reading)).states];
  }

  /** How often the bitmap block was written to a member. */
  bitmapWrites(slot: number, index = 0): number {
    const block = BITMAP_BLOCK + (index * 4096) / BLOCK_BYTES;
    return this.disks[slot]!.log.filter((io) => io.op === OP_WRITE && io.block === block).length;
  }
}

/** The regions of the second bitmap block begin here. */
export const SECOND_BLOCK = REGIONS_PER_BLOCK;
