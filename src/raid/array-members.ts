/**
 * ArrayMembers: which members an array has, and what it could do without.            (data plane)
 *
 * Members leave service one by one (`eject`), as long as the level bears it, and come into service
 * (`enter`) when a rebuild is complete. Whoever sends something looks at `device` at that moment;
 * nothing else is cached. This class keeps the table and the counts; what has to happen around a
 * change (parking answers, recording it on the others) is the array's and its keeper's.
 */

import { assert } from '../block/assert.ts';
import { type BlockDevice, FEATURE_FUA } from '../block/block-device.ts';
import { memberBlocksMax } from './array-geometry.ts';
import type { ArraySpec } from './array-spec.ts';
import { type LevelRules, levelRules } from './level-rules.ts';
import {
  FUA_DROP,
  FUA_FLUSH,
  FUA_PASS,
  type FuaWay,
  Member,
  type MemberHealth,
  type Target,
} from './member.ts';

export interface MemberStatus {
  readonly slot: number;
  readonly device: string | null;
  readonly uuid: string | null;
  readonly health: MemberHealth;
  readonly read_errors: number;
  readonly write_errors: number;
  readonly repaired_blocks: number;
}

export class ArrayMembers {
  readonly slots: readonly Member[];
  readonly rules: LevelRules;
  target: Target | null = null;
  /** Slots without a member in service. */
  absent = 0;
  /** The largest read or write that every member in service, and the target, takes. */
  blocksMax = 1;
  /** True when a FUA write may have to be followed by a flush of some member. */
  emulatesFua = false;

  constructor(spec: ArraySpec) {
    this.rules = levelRules(spec.level);
    this.slots = spec.members.map(
      (member, slot) =>
        new Member(slot, member.uuid, member.device, member.dataOffset, member.dataSize),
    );
    this.absent = this.slots.filter(({ device }) => device === null).length;
    assert(this.bears(0), 'an array has the members that its level needs');
  }

  /** True when the level still gives back every block after losing `more` members. */
  bears(more: number): boolean {
    return this.absent + more <= this.rules.tolerates(this.slots.length);
  }

  /** After the devices were opened, and whenever one has come or gone. */
  refresh(): void {
    this.absent = 0;
    this.emulatesFua = false;
    for (const member of this.slots) {
      if (member.device === null) {
        this.absent += 1;
        continue;
      }
      member.fua = fuaWay(member.device);
      this.emulatesFua ||= member.fua === FUA_FLUSH;
    }
    // It may be a member by the time in which a write that comes now is sent.
    if (this.target !== null) this.emulatesFua ||= fuaWay(this.target.device) === FUA_FLUSH;
    const most = memberBlocksMax(this.slots);
    const ofTarget = this.target?.device.geometry.requestBlocksMax ?? most;
    this.blocksMax = Math.min(most, ofTarget);
  }

  /** The member's device leaves service and is kept in `gone`. */
  eject(slot: number, as: 'failed' | 'missing', status: number): void {
    const member = this.slots[slot]!;
    assert(member.device !== null && member.gone === null, 'a member is ejected once');
    assert(this.bears(1), 'an array goes on without the member');
    member.gone = member.device;
    member.device = null;
    member.lostAs = as;
    member.failedStatus = status;
    member.readingBlocks = 0;
    this.refresh();
  }

  /** The target has everything: it is the slot's member from now on. Gives the old device. */
  enter(): BlockDevice | null {
    const { target } = this;
    assert(target !== null, 'a target comes into service');
    const member = this.slots[target.slot]!;
    assert(member.device === null || target.replaces, 'the slot is free or is replaced');
    const old = member.device ?? member.gone;
    member.device = target.device;
    member.gone = null;
    member.uuid = target.uuid;
    member.dataOffset = target.dataOffset;
    member.readErrors = 0;
    member.writeErrors = 0;
    member.readingBlocks = 0;
    member.flushStatus = 0;
    member.failedStatus = 0;
    this.target = null;
    this.refresh();
    return old;
  }

  /** The slot whose member in service is `device`, or -1. */
  slotOf(device: BlockDevice): number {
    return this.slots.findIndex((member) => member.device === device);
  }

  /** Everything that is open: members, the target, and what has left service. */
  openDevices(): BlockDevice[] {
    const all = this.slots.flatMap(({ device, gone }) => [device, gone]);
    return [...all, this.target?.device ?? null].filter((device) => device !== null);
  }

  status(): MemberStatus[] {
    return this.slots.map((member) => ({
      slot: member.slot,
      device: this.#deviceOf(member)?.name ?? null,
      uuid: member.uuid,
      health: this.#healthOf(member),
      read_errors: member.readErrors,
      write_errors: member.writeErrors,
      repaired_blocks: member.repairedBlocks,
    }));
  }

  #isFilled(member: Member): boolean {
    return this.target?.slot === member.slot && !this.target.replaces;
  }

  #deviceOf(member: Member): BlockDevice | null {
    if (this.#isFilled(member)) return this.target!.device;
    return member.device ?? member.gone;
  }

  #healthOf(member: Member): MemberHealth {
    if (member.device !== null) return member.failedStatus === 0 ? 'ok' : 'failed';
    return this.#isFilled(member) ? 'rebuilding' : member.lostAs;
  }
}

export function fuaWay(device: BlockDevice): FuaWay {
  const { features, volatileCache } = device.geometry;
  if ((features & FEATURE_FUA) !== 0) return FUA_PASS;
  return volatileCache ? FUA_FLUSH : FUA_DROP;
}
