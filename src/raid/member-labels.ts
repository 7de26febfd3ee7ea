/**
 * MemberLabels: keeps the labels of a running array's devices up to date.           (control plane)
 *
 * Before an array is written to, all its members are marked dirty; after the last write and flush,
 * clean. What lies between a dirty mark and the next clean one may differ between members after a
 * crash. A member without a label (made by SPDK, identified by its user) receives one with the
 * first mark, and can be found by itself from then on.
 *
 * The set changes while the array runs: a target is added when its rebuild begins and becomes the
 * member of its slot when it ends; a member that failed is dropped and not written any more. During
 * a replacement a slot has both. All devices of a run carry the same event count, one more than any
 * had before, so that a device that was absent from a run is known by it.
 *
 * Marks go to all devices at once, one mark after another. A device whose write fails keeps the
 * label before it, in the other copy; its next mark goes to the same copy again.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Label, type LabelBitmap, type LabelProcess, NO_PROCESS } from './label.ts';
import { writeLabel } from './metadata-io.ts';
import { newestEventCount } from './own-label.ts';

export interface LabelledMember {
  readonly slot: number;
  readonly uuid: string;
  readonly device: BlockDevice;
  /** The newest valid label of this array on the device, or null. */
  readonly label: Label | null;
  /** The sequence of the newest label on it, also of another array; the label's when left out. */
  readonly labelSequence?: number;
}

/** What a mark says, the same on every device. */
export interface LabelMark {
  readonly state: 'clean' | 'dirty';
  readonly superblockSeq: number;
  readonly process: LabelProcess;
  readonly missedSince: number;
  readonly bitmap: LabelBitmap | null;
}

export type LabelledRole = 'member' | 'target';

export interface LabelFailure {
  readonly slot: number;
  readonly role: LabelledRole;
  readonly uuid: string;
  readonly error: BandstandError;
}

interface Entry {
  readonly slot: number;
  readonly uuid: string;
  readonly device: BlockDevice;
  role: LabelledRole;
  label: Label | null;
  sequence: number;
}

export class MemberLabels {
  readonly #reactor: Reactor;
  readonly #arrayUuid: string;
  readonly #superblockSeq: number;
  #entries: Entry[] = [];
  #eventCount: number;
  #started = false;
  #last: Promise<unknown> = Promise.resolve();

  /** `superblockSeq` is what markDirty and markClean write. */
  constructor(
    reactor: Reactor,
    arrayUuid: string,
    superblockSeq: number,
    members: readonly LabelledMember[],
  ) {
    this.#reactor = reactor;
    this.#arrayUuid = arrayUuid;
    this.#superblockSeq = superblockSeq;
    this.#eventCount = newestEventCount(members.map(({ label }) => label));
    for (const member of members) this.add(member, 'member');
  }

  /** The device is written from the next mark on. */
  add(member: LabelledMember, role: LabelledRole): void {
    const { slot, uuid, device, label } = member;
    assert(this.#find(slot, role) === undefined, 'a slot has one member and one target');
    const sequence = Math.max(member.labelSequence ?? 0, label?.sequence ?? 0);
    this.#entries.push({ slot, uuid, device, role, label, sequence });
    if (!this.#started) this.#eventCount = Math.max(this.#eventCount, label?.eventCount ?? 0);
  }

  /** The device is not written any more. False when there is none. */
  drop(slot: number, role: LabelledRole = 'member'): boolean {
    const entry = this.#find(slot, role);
    this.#entries = this.#entries.filter((other) => other !== entry);
    return entry !== undefined;
  }

  /** The target becomes the member of its slot from the next mark on; the one before is dropped. */
  promote(slot: number): void {
    const target = this.#find(slot, 'target');
    assert(target !== undefined, 'a target is promoted that is there');
    this.drop(slot);
    target.role = 'member';
  }

  /** Durable on every device that is not among the failures when it resolves. Never rejects. */
  async write(mark: LabelMark): Promise<LabelFailure[]> {
    const { state, superblockSeq, bitmap, process, missedSince } = mark;
    return await this.#mark(state, () => ({ superblockSeq, bitmap, process, missedSince }));
  }

  /** Before the first write. Durable when it resolves; throws BANDSTAND_DEVICE_IO. */
  async markDirty(): Promise<void> {
    await this.#markOrThrow('dirty');
  }

  /** After the array has been flushed and nothing will be written any more. */
  async markClean(): Promise<void> {
    await this.#markOrThrow('clean');
  }

  #find(slot: number, role: LabelledRole): Entry | undefined {
    return this.#entries.find((entry) => entry.slot === slot && entry.role === role);
  }

  async #markOrThrow(state: 'clean' | 'dirty'): Promise<void> {
    const [failure] = await this.#mark(state, ({ label }) => {
      // Bitmap and process of a label that the superblock has left behind say nothing any more.
      const current = label !== null && label.superblockSeq === this.#superblockSeq;
      return {
        superblockSeq: this.#superblockSeq,
        bitmap: current ? label.bitmap : null,
        process: current ? label.process : NO_PROCESS,
        missedSince: current ? label.missedSince : 0,
      };
    });
    if (failure !== undefined) throw failure.error;
  }

  /** Waits for the mark before; the devices and their roles are those at the time of the call. */
  #mark(state: 'clean' | 'dirty', say: (entry: Entry) => Said): Promise<LabelFailure[]> {
    if (state === 'dirty' && !this.#started) this.#eventCount += 1;
    this.#started = state === 'dirty';
    const eventCount = this.#eventCount;
    const planned = this.#entries.map((entry) => ({ entry, role: entry.role }));
    const marked = this.#last.then(async () => {
      const outcomes = await Promise.all(
        planned.map(({ entry, role }) =>
          this.#writeOne(entry, role, { ...say(entry), state, eventCount }),
        ),
      );
      return outcomes.flat();
    });
    this.#last = marked.catch(() => {});
    return marked;
  }

  async #writeOne(
    entry: Entry,
    role: LabelledRole,
    said: Said & Pick<Label, 'state' | 'eventCount'>,
  ): Promise<LabelFailure[]> {
    const { slot, uuid } = entry;
    const label: Label = {
      ...said,
      sequence: entry.sequence + 1,
      memberUuid: uuid,
      arrayUuid: this.#arrayUuid,
      slot,
      role,
    };
    try {
      await writeLabel(this.#reactor, entry.device, label);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      return [{ slot, role, uuid, error }];
    }
    entry.label = label;
    entry.sequence = label.sequence;
    return [];
  }
}

type Said = Pick<Label, 'superblockSeq' | 'bitmap' | 'process' | 'missedSince'>;
