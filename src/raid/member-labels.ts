/**
 * MemberLabels: keeps the labels of a running array's members up to date.           (control plane)
 *
 * Before an array is written to, all its members are marked dirty; after the last write and flush,
 * clean. What lies between a dirty mark and the next clean one may differ between members after a
 * crash. A member without a label (made by SPDK, identified by its user) receives one with the
 * first mark, and can be found by itself from then on.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Label, NO_PROCESS } from './label.ts';
import { writeLabel } from './metadata-io.ts';

export interface LabelledMember {
  readonly slot: number;
  readonly uuid: string;
  readonly device: BlockDevice;
  /** The newest valid label of this array on the device, or null. */
  readonly label: Label | null;
}

export class MemberLabels {
  readonly #reactor: Reactor;
  readonly #arrayUuid: string;
  readonly #superblockSeq: number;
  readonly #members: { readonly member: LabelledMember; label: Label | null }[];

  constructor(
    reactor: Reactor,
    arrayUuid: string,
    superblockSeq: number,
    members: readonly LabelledMember[],
  ) {
    this.#reactor = reactor;
    this.#arrayUuid = arrayUuid;
    this.#superblockSeq = superblockSeq;
    this.#members = members.map((member) => ({ member, label: member.label }));
  }

  /** Before the first write. Durable when it resolves; throws BANDSTAND_DEVICE_IO. */
  markDirty(): Promise<void> {
    return this.#mark('dirty');
  }

  /** After the array has been flushed and nothing will be written any more. */
  markClean(): Promise<void> {
    return this.#mark('clean');
  }

  async #mark(state: 'clean' | 'dirty'): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.#members.map(async (entry) => {
        const label = this.#next(entry.member, entry.label, state);
        await writeLabel(this.#reactor, entry.member.device, label);
        entry.label = label;
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #next(member: LabelledMember, last: Label | null, state: 'clean' | 'dirty'): Label {
    // Bitmap and process of a label that the superblock has left behind say nothing any more.
    const current = last !== null && last.superblockSeq === this.#superblockSeq;
    return {
      sequence: (last?.sequence ?? 0) + 1,
      memberUuid: member.uuid,
      arrayUuid: this.#arrayUuid,
      superblockSeq: this.#superblockSeq,
      slot: member.slot,
      role: 'member',
      state,
      eventCount: (last?.eventCount ?? 0) + (state === 'dirty' ? 1 : 0),
      bitmap: current ? last.bitmap : null,
      process: current ? last.process : NO_PROCESS,
      missedSince: current ? last.missedSince : 0,
    };
  }
}
