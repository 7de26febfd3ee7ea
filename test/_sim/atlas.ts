/**
 * The fault atlas: keeps what goes wrong within what redundancy bears, so that every violation is a
 * bug, and says which failures of operations are legitimate.
 *
 * A slot is *current* while its member has everything that was acknowledged. A slot is a *victim*
 * while a fault waits for its disk, has made blocks of it unreadable, or has taken it away. At any
 * moment the slots that are victims or not current are at most as many as the level tolerates, but
 * for levels without redundancy, which get their errors and have to report them.
 */

import type { BlockIo } from '../../src/block/block-io.ts';
import type { DiskFault, FaultOp } from './disk-fault.ts';
import type { SimMedium } from './medium.ts';
import type { LevelName } from './step.ts';
import type { Promises } from './subject.ts';

export function tolerates(level: LevelName, members: number): number {
  if (level === 'raid1') return members - 1;
  return level === 'raid5f' ? 1 : 0;
}

export class Atlas {
  readonly level: LevelName;
  readonly members: number;
  readonly tolerates: number;
  readonly promises: Promises;
  /** One per slot: true while the member has everything. */
  readonly current: boolean[];
  /** A start that was to record its loss did not come to its end: both answers are right. */
  readonly unsure: boolean[];
  /** Faults that wait for operations on the disk in each slot. */
  readonly faults: DiskFault[][];
  /** For each slot: operations before this one may still suffer from a fault that has struck. */
  readonly struckAt: number[];
  /** Operations in flight that a fault has struck, of users or not, by slot. */
  readonly striking = new Map<BlockIo, number>();
  /** Disks that have lost power in this life, and what no flush had covered. */
  readonly cacheLost = new Set<SimMedium>();
  /** The oldest operation that is under way. */
  oldestPending = Number.POSITIVE_INFINITY;
  /** The disk of each slot; another one may take its place. */
  readonly media: SimMedium[];

  /** `from`: what another world knows of the same slots. */
  constructor(level: LevelName, media: SimMedium[], promises: Promises, from?: Atlas) {
    this.level = level;
    this.members = media.length;
    this.tolerates = tolerates(level, media.length);
    this.promises = promises;
    this.current = from?.current.slice() ?? media.map(() => true);
    this.unsure = from?.unsure.slice() ?? media.map(() => false);
    this.faults = media.map(() => []);
    this.struckAt = media.map(() => -1);
    this.media = media;
  }

  /** Another array is made on the same disks. */
  renew(): void {
    this.current.fill(true);
    this.unsure.fill(false);
  }

  isVictim(slot: number): boolean {
    return !this.current[slot] || this.#isDisturbed(slot);
  }

  /** A victim for another reason than what its member lacks. */
  #isDisturbed(slot: number): boolean {
    const medium = this.media[slot]!;
    return (
      medium.away ||
      medium.bad.size > 0 ||
      this.faults[slot]!.length > 0 ||
      this.oldestPending < this.struckAt[slot]! ||
      [...this.striking.values()].includes(slot) ||
      medium.hasDropped
    );
  }

  /** A program that dies before such a loss is on record leaves nobody who knows of it. */
  get returnedWithoutCache(): boolean {
    return [...this.cacheLost].some(({ away }) => !away);
  }

  get isAnyVictim(): boolean {
    return this.media.some((_, slot) => this.isVictim(slot));
  }

  /** True when the level bears that something happens to the disk in this slot too. */
  bears(slot: number): boolean {
    if (this.tolerates === 0) return false;
    let victims = 0;
    for (let other = 0; other < this.members; other += 1) {
      if (other !== slot && this.isVictim(other)) victims += 1;
    }
    return victims < this.tolerates;
  }

  /** The same, should every rebuild that is under way have ended by then. */
  bearsWhenRebuilt(slot: number): boolean {
    const others = this.media.filter((_, other) => other !== slot && this.#isDisturbed(other));
    return others.length < this.tolerates;
  }

  /** Parity that a crash may have left wrong is no help for reads that fail. */
  dropReadFaults(): void {
    this.media.forEach(({ bad }, slot) => {
      bad.clear();
      this.faults[slot] = this.faults[slot]!.filter(({ op }) => op !== 'read');
    });
  }

  /** Whether reads may fail on the disk in `slot`. */
  allowsReadFault(slot: number): boolean {
    return this.tolerates === 0 || this.bears(slot);
  }

  /** Whether a write may fail on the disk in `slot`. */
  allowsWriteFault(slot: number): boolean {
    return this.tolerates === 0 || !this.promises.ejects || this.bears(slot);
  }

  /** Whether a flush may fail: what it loses may be metadata, and cost the array the member. */
  allowsFlushFault(slot: number): boolean {
    return this.tolerates === 0 || this.bears(slot);
  }

  allows(op: FaultOp, slot: number): boolean {
    if (op === 'read') return this.allowsReadFault(slot);
    return op === 'write' ? this.allowsWriteFault(slot) : this.allowsFlushFault(slot);
  }

  /** Whether the disk may be pulled out: an array without it must still be whole. */
  allowsUnplug(slot: number): boolean {
    return !this.media[slot]!.away && this.bears(slot);
  }

  /**
   * Whether a disk that is away may be there again. Without ejection nothing remembers what it
   * missed until a start has recorded its loss.
   */
  allowsPlug(slot: number): boolean {
    return this.media[slot]!.away && (this.promises.ejects || !this.current[slot]);
  }

  /** Members that a start would miss. */
  missing(): number[] {
    return this.media.flatMap(({ away }, slot) => (away && this.current[slot] ? [slot] : []));
  }

  /** What a start has to find in service; null leaves it open. */
  expected(slot: number): boolean | null {
    if (this.media[slot]!.away) return false;
    return this.unsure[slot] ? null : this.current[slot]!;
  }
}
