/**
 * ArrayMetadata: superblock and labels of a running array, on all its devices.      (control plane)
 *
 * One superblock and one set of label facts for the whole array; each device that carries them is a
 * *place*, with its own label sequence. Changes are written to all places at the same time and
 * flushed; the places where that failed are given back: what follows from it (ejection, giving up a
 * rebuild) is the manager's to decide.
 *
 * A superblock of several sectors is written to one place first, and to the others when that has
 * it. The target of a rebuild gets it when all members have it: the array can be started without
 * the target, and nothing on the members would show then that the target has a newer one.
 *
 * Order: a superblock is on every place before a label goes with its sequence. Assembly relies on
 * that: when no label goes with the newest sequence, nothing was acknowledged under it.
 *
 * Spares have a label and no superblock, and are not written to while they wait.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO } from '../block/status.ts';
import type { LabelBitmap, LabelProcess, LabelRole, LabelState } from './label.ts';
import { writeArea, writeLabel } from './metadata-io.ts';
import { encodeSuperblock, type Superblock } from './superblock.ts';
import { mayTear } from './torn-superblock.ts';

export interface Place {
  readonly device: BlockDevice;
  readonly uuid: string;
  readonly slot: number;
  role: Exclude<LabelRole, 'spare'>;
  /** The sequence of its newest label; 0 without one. */
  sequence: number;
}

/** A device that did not take the metadata. */
export interface FailedPlace {
  readonly place: Place;
  readonly status: number;
}

/** What all labels of the array say besides identity. */
export interface LabelFacts {
  readonly state: LabelState;
  readonly ftl: boolean;
  readonly nvCache: boolean;
  readonly bitmap: LabelBitmap | null;
  readonly process: LabelProcess;
  readonly missedSince: number;
  readonly eventCount: number;
}

export class ArrayMetadata {
  superblock: Superblock;
  facts: LabelFacts;
  readonly #reactor: Reactor;
  readonly #places: Place[] = [];

  constructor(reactor: Reactor, superblock: Superblock, facts: LabelFacts) {
    this.#reactor = reactor;
    this.superblock = superblock;
    this.facts = facts;
  }

  get places(): readonly Place[] {
    return this.#places;
  }

  add(place: Place): void {
    assert(!this.#places.some(({ device }) => device === place.device), 'a device is one place');
    this.#places.push(place);
  }

  /** Nothing more is written to the device. */
  drop(device: BlockDevice): void {
    const at = this.#places.findIndex((place) => place.device === device);
    if (at !== -1) this.#places.splice(at, 1);
  }

  place(device: BlockDevice): Place | null {
    return this.#places.find((place) => place.device === device) ?? null;
  }

  /** Moves the superblock on by one sequence number. Durable on all places but those returned. */
  async writeSuperblock(change: (superblock: Superblock) => Superblock): Promise<FailedPlace[]> {
    const superblock = { ...change(this.superblock), seq: this.superblock.seq + 1 };
    this.superblock = superblock;
    const bytes = encodeSuperblock(superblock);
    const write = async ({ device }: Place): Promise<void> => {
      await writeArea(this.#reactor, device, 0, bytes);
      await flushDevice(device);
    };
    const members = this.#places.filter(({ role }) => role === 'member');
    // One copy is whole at any moment: a torn one can only be told by another that is not.
    const alone = mayTear(superblock.members.length) ? 1 : 0;
    const targets = this.#places.filter(({ role }) => role === 'target');
    const failed: FailedPlace[] = [];
    for (const places of [members.slice(0, alone), members.slice(alone), targets]) {
      // What no member has, the target alone must not have either.
      if (places === targets && members.length > 0 && failed.length === members.length) break;
      // Who has left meanwhile is written to no more.
      const present = places.filter((place) => this.#places.includes(place));
      failed.push(...(await this.#onEach(write, present)));
    }
    return failed;
  }

  /** Writes the labels with these facts changed; they go with the superblock of now. */
  writeLabels(change: Partial<LabelFacts>): Promise<FailedPlace[]> {
    this.facts = { ...this.facts, ...change };
    const { facts } = this;
    return this.#onEach((place) => this.#writeLabel(place, facts));
  }

  /** Writes the label of one device alone, with these facts changed for itself. */
  writeLabelOf(device: BlockDevice, change: Partial<LabelFacts>): Promise<FailedPlace[]> {
    const place = this.place(device);
    assert(place !== null, 'a label is written on a place');
    const facts = { ...this.facts, ...change };
    return this.#onEach(() => this.#writeLabel(place, facts), [place]);
  }

  async #writeLabel(place: Place, facts: LabelFacts): Promise<void> {
    const { superblock } = this;
    const sequence = place.sequence + 1;
    await writeLabel(this.#reactor, place.device, {
      sequence,
      memberUuid: place.uuid,
      arrayUuid: superblock.uuid,
      superblockSeq: superblock.seq,
      slot: place.slot,
      role: place.role,
      ...facts,
    });
    // A label that was not written is tried again in the same copy: the other one is good.
    place.sequence = sequence;
  }

  async #onEach(
    write: (place: Place) => Promise<void>,
    places: readonly Place[] = [...this.#places],
  ): Promise<FailedPlace[]> {
    const outcomes = await Promise.allSettled(places.map(write));
    return outcomes.flatMap((outcome, index) =>
      outcome.status === 'fulfilled'
        ? []
        : [{ place: places[index]!, status: statusOf(outcome.reason) }],
    );
  }
}

/** The errno of a failed write; anything else is a defect and goes on up. */
export function statusOf(error: unknown): number {
  if (!(error instanceof BandstandError)) throw error;
  const { status } = error.details;
  return typeof status === 'number' ? status : EIO;
}
