/**
 * Log-structured writing without I/O: bands, an L2P, and the FTL's own placement and victims.
 *
 * What is modelled is what decides write amplification: `bandCount` bands of `bandBlocks` blocks
 * hold everything there is, also open bands and the free bands that are kept in reserve. A user
 * write appends to the open band of its class. When fewer than FREE_BANDS_LEAST bands are free, the
 * victim's valid blocks are appended to the open bands of their classes at once. There are no
 * flushes and no metadata.
 *
 * Write amplification = (user blocks + relocated blocks) / user blocks, after a fill in sequence
 * and a warm-up.
 */

import { classCountFor, NO_BAND, NO_CLASS, Placement } from '../src/ftl/placement.ts';
import { NO_VICTIM, Victims } from '../src/ftl/victims.ts';
import { type Load, type LoadSpec, makeLoad } from './waf-load.ts';

/** Relocation needs one to write to while a user write opens another. */
const FREE_BANDS_LEAST = 2;
const UNMAPPED = 0xffffffff;

/** `greedy` is the peer: one open band, and the band with the fewest valid blocks. */
export type PolicyName = 'bandstand' | 'greedy';

export interface Geometry {
  readonly userBlocks: number;
  readonly bandBlocks: number;
  /** Share of spare space over user space: 0.2 is 20 %. */
  readonly overProvisioning: number;
}

export interface Run extends Geometry {
  readonly load: LoadSpec;
  readonly policy: PolicyName;
  readonly seed: number;
  /** In multiples of the user blocks. */
  readonly warmUp: number;
  readonly measured: number;
}

/** The part of Victims that the model uses. */
interface VictimChoice {
  closed(band: number, sequence: number): void;
  taken(band: number): void;
  choose(sequence: number): number;
}

class GreedyVictims implements VictimChoice {
  readonly #validBlocks: Uint32Array;
  readonly #isClosed: Uint8Array;

  constructor(validBlocks: Uint32Array) {
    this.#validBlocks = validBlocks;
    this.#isClosed = new Uint8Array(validBlocks.length);
  }

  closed(band: number): void {
    this.#isClosed[band] = 1;
  }

  taken(band: number): void {
    this.#isClosed[band] = 0;
  }

  choose(): number {
    let best = NO_VICTIM;
    for (let band = 0; band < this.#isClosed.length; band += 1) {
      if (this.#isClosed[band] === 0) continue;
      if (best === NO_VICTIM || this.#validBlocks[band]! < this.#validBlocks[best]!) best = band;
    }
    return best;
  }
}

export class WafModel {
  readonly bandCount: number;
  readonly bandBlocks: number;
  readonly placement: Placement;
  userWrites = 0;
  relocations = 0;
  readonly #victims: VictimChoice;
  /** LBA → position (band * bandBlocks + offset), or UNMAPPED. */
  readonly #l2p: Uint32Array;
  /** Position → LBA. */
  readonly #p2l: Uint32Array;
  /** Columns of a band: valid blocks; next offset to write. */
  readonly #validBlocks: Uint32Array;
  readonly #written: Uint32Array;
  /** Class → open band or NO_BAND. */
  readonly #openBands: Int32Array;
  /** A stack. */
  readonly #freeBands: Uint32Array;
  #freeCount: number;
  #sequence = 0;

  constructor(geometry: Geometry, policy: PolicyName) {
    const { userBlocks, bandBlocks, overProvisioning } = geometry;
    this.bandBlocks = bandBlocks;
    this.bandCount = Math.round((userBlocks * (1 + overProvisioning)) / bandBlocks);
    const spareBands = this.bandCount - userBlocks / bandBlocks;
    const classCount = policy === 'greedy' ? 1 : classCountFor(spareBands);
    this.placement = new Placement(this.bandCount, classCount);
    this.#validBlocks = new Uint32Array(this.bandCount);
    this.#written = new Uint32Array(this.bandCount);
    this.#victims =
      policy === 'greedy'
        ? new GreedyVictims(this.#validBlocks)
        : new Victims(this.#validBlocks, bandBlocks);
    this.#l2p = new Uint32Array(userBlocks).fill(UNMAPPED);
    this.#p2l = new Uint32Array(this.bandCount * bandBlocks);
    this.#openBands = new Int32Array(classCount).fill(NO_BAND);
    this.#freeBands = Uint32Array.from({ length: this.bandCount }, (_, band) => band);
    this.#freeCount = this.bandCount;
  }

  write(lba: number): void {
    while (this.#freeCount < FREE_BANDS_LEAST) this.#reclaim();
    const previous = this.#l2p[lba]!;
    const band = previous === UNMAPPED ? NO_BAND : Math.floor(previous / this.bandBlocks);
    if (band !== NO_BAND) this.#validBlocks[band]! -= 1;
    this.#sequence += 1;
    this.userWrites += 1;
    this.#append(lba, this.placement.userClass(band));
  }

  trim(lba: number): void {
    const position = this.#l2p[lba]!;
    if (position === UNMAPPED) return;
    this.#validBlocks[Math.floor(position / this.bandBlocks)]! -= 1;
    this.#l2p[lba] = UNMAPPED;
  }

  /** Zero in the steady state that is measured from here on. */
  resetCounts(): void {
    this.userWrites = 0;
    this.relocations = 0;
  }

  get writeAmplification(): number {
    return (this.userWrites + this.relocations) / this.userWrites;
  }

  /** Null when the maps agree with each other and with the counts; otherwise what does not. */
  inconsistency(): string | null {
    const valid = new Uint32Array(this.bandCount);
    for (let lba = 0; lba < this.#l2p.length; lba += 1) {
      const position = this.#l2p[lba]!;
      if (position === UNMAPPED) continue;
      if (this.#p2l[position] !== lba) return `LBA ${lba} maps to ${position}, which is another's`;
      valid[Math.floor(position / this.bandBlocks)]! += 1;
    }
    const band = valid.findIndex((count, index) => count !== this.#validBlocks[index]);
    return band === -1 ? null : `band ${band} has ${valid[band]} valid blocks, and counts others`;
  }

  #reclaim(): void {
    const victim = this.#victims.choose(this.#sequence);
    if (victim === NO_VICTIM) throw new Error('there is nothing to reclaim');
    this.#victims.taken(victim);
    const lifetimeClass = this.placement.relocatedClass(victim);
    const first = victim * this.bandBlocks;
    for (let position = first; position < first + this.bandBlocks; position += 1) {
      const lba = this.#p2l[position]!;
      if (this.#l2p[lba] !== position) continue;
      this.relocations += 1;
      this.#append(lba, lifetimeClass);
    }
    this.#validBlocks[victim] = 0;
    this.#freeBands[this.#freeCount] = victim;
    this.#freeCount += 1;
  }

  #append(lba: number, wanted: number): void {
    const lifetimeClass = this.#classWithRoom(wanted);
    const band = this.#openBands[lifetimeClass]!;
    const position = band * this.bandBlocks + this.#written[band]!;
    this.#p2l[position] = lba;
    this.#l2p[lba] = position;
    this.#validBlocks[band]! += 1;
    this.#written[band]! += 1;
    if (this.#written[band] !== this.bandBlocks) return;
    this.#openBands[lifetimeClass] = NO_BAND;
    this.#victims.closed(band, this.#sequence);
  }

  #classWithRoom(wanted: number): number {
    if (this.#openBands[wanted] !== NO_BAND) return wanted;
    if (this.#freeCount === 0) {
      const other = this.placement.substitute(wanted, this.#openBands);
      if (other === NO_CLASS) throw new Error('no band is open and none is free');
      return other;
    }
    this.#freeCount -= 1;
    const band = this.#freeBands[this.#freeCount]!;
    this.#written[band] = 0;
    this.#openBands[wanted] = band;
    this.placement.opened(band, wanted);
    return wanted;
  }
}

export function measure(run: Run): number {
  const model = new WafModel(run, run.policy);
  const load = makeLoad(run.load, run.userBlocks, run.seed);
  for (let lba = 0; lba < run.userBlocks; lba += 1) model.write(lba);
  apply(model, load, run.userBlocks * run.warmUp);
  model.resetCounts();
  apply(model, load, run.userBlocks * run.measured);
  const wrong = model.inconsistency();
  if (wrong !== null) throw new Error(wrong);
  return model.writeAmplification;
}

/** Until so many blocks have been written since the counts were last reset. */
function apply(model: WafModel, load: Load, blocks: number): void {
  const until = model.userWrites + blocks;
  while (model.userWrites < until) {
    const next = load.next();
    if (next >= 0) model.write(next);
    else model.trim(-1 - next);
  }
}

/** For uniform random writes: v = e^(-(1 + OP)(1 - v)), and 1 / (1 - v). */
export function theoreticalWaf(overProvisioning: number): number {
  let valid = 0.5;
  for (let round = 0; round < 1000; round += 1) {
    valid = Math.exp(-(1 + overProvisioning) * (1 - valid));
  }
  return 1 / (1 - valid);
}
