/**
 * RaidArray: several block devices as one, at any level.                              (data plane)
 *
 * This file is the outside: geometry, life cycle, and the members that come and go while it works.
 * How an operation gets through is in array-core.ts, what distinguishes the levels in level.ts.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, DeviceDescription } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import { type ArrayAddress, ownAddress } from './array-address.ts';
import { ArrayCore } from './array-core.ts';
import { arrayGeometry, checkMember } from './array-geometry.ts';
import type { MemberStatus } from './array-members.ts';
import type { ArraySpec } from './array-spec.ts';
import type { Target } from './member.ts';
import { PieceRunner } from './piece-runner.ts';

/** Operations that an array works on at once; more wait. */
const DEPTH_DEFAULT = 256;

export interface RaidArrayOptions {
  readonly depth?: number;
  /** True when the caller has opened the members (it read their superblocks); close closes them. */
  readonly membersOpened?: boolean;
  /** True when members may differ since a crash, so that reads must not alternate between them. */
  readonly steadyReads?: boolean;
  /** How commands name it; by its own name when absent. */
  readonly address?: ArrayAddress;
}

export class RaidArray extends ArrayCore implements BlockDevice {
  readonly name: string;
  spec: ArraySpec;
  /** For what people are told to do. */
  readonly address: ArrayAddress;
  readonly #depth: number;
  #membersOpened: boolean;
  #closing: Promise<void> | null = null;

  constructor(spec: ArraySpec, options: RaidArrayOptions = {}) {
    super(spec, options.steadyReads ?? false);
    this.name = spec.name;
    this.spec = spec;
    this.address = options.address ?? ownAddress(spec.name);
    this.#depth = options.depth ?? DEPTH_DEFAULT;
    this.#membersOpened = options.membersOpened ?? false;
  }

  protected override get asDevice(): BlockDevice {
    return this;
  }

  // --- life cycle -------------------------------------------------------------------------------

  /**
   * Throws BANDSTAND_MEMBER_MISMATCH when a device does not fit its slot. A manager opens its array
   * before anything lies on it; what is put on top opens it again, which changes nothing.
   */
  async open(reactor: Reactor): Promise<void> {
    if (this.ring !== null) {
      assert(this.ring === reactor, 'an array is opened on one reactor');
      return;
    }
    const opened: BlockDevice[] = [];
    try {
      for (const { device } of this.members) {
        if (device === null) continue;
        if (!this.#membersOpened) await device.open(reactor);
        opened.push(device);
      }
      for (const member of this.members) checkMember(this.spec, member);
      this.table.refresh();
      this.ring = reactor;
      this.level.open();
    } catch (error) {
      this.ring = null;
      for (const device of opened.reverse()) await device.close();
      throw error;
    }
    this.#membersOpened = false;
    this.#closing = null;
    this.drained = null;
    this.failed = false;
    this.shape = arrayGeometry(this.spec, this.level, this.members);
    this.runner = new PieceRunner(this, this.level, this.#depth);
    for (const device of opened) device.observer = this;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.ring === null) return;
    if (!this.isIdle) {
      await new Promise<void>((resolve) => {
        this.drained = resolve;
      });
    }
    this.runner = null;
    this.level.close();
    const devices = this.table.openDevices();
    // What one of them says from now on changes nothing: there is nobody left to write it down on.
    for (const device of devices) device.observer = null;
    for (const device of devices) await device.close();
    this.ring = null;
  }

  describe(): DeviceDescription {
    const { spec } = this;
    return {
      kind: spec.level,
      name: spec.name,
      children: this.members.flatMap(({ device }) => (device === null ? [] : [device.describe()])),
      details: {
        uuid: spec.uuid,
        block_size: spec.blockBytes,
        blocks: spec.blockCount,
        strip_size_bytes: spec.stripBlocks * spec.blockBytes,
        members: this.members.length,
        missing: this.members.filter(({ device }) => device === null).length,
      },
    };
  }

  openDevices(): BlockDevice[] {
    return this.table.openDevices();
  }

  memberStatus(): MemberStatus[] {
    return this.table.status();
  }

  // --- members that come and go -----------------------------------------------------------------
  //
  // The array observes a device from when it may be written to until it is closed: also one that is
  // no member yet, or any more. So what a device that hangs has of ours is given back to us.

  /** The target becomes its slot's member; nothing is in flight. Gives the slot's old device. */
  enterService(): BlockDevice | null {
    const old = this.table.enter();
    this.membersChanged();
    return old;
  }

  /** Lets go of the device that left service in `slot`, which the caller closes; null: none. */
  takeGone(slot: number): BlockDevice | null {
    const member = this.members[slot]!;
    const { gone } = member;
    member.gone = null;
    return gone;
  }

  /** From now on the target gets every write. Its device is open. */
  attachTarget(target: Target): void {
    assert(this.table.target === null, 'one target at a time');
    this.table.target = target;
    this.targetAway = false;
    target.device.observer = this;
    this.membersChanged();
  }

  /** Labels name the target of a replacement, which gets nothing before it is attached. */
  expectTarget(): void {
    assert(this.table.target === null, 'a target that is expected is not there yet');
    this.targetAway = true;
  }

  /** No label names the target of a replacement any more that was expected, or has left. */
  targetForgotten(): void {
    this.targetAway = false;
    if (!this.incomplete) this.intent?.clearMissed();
  }

  /** Nothing more is sent to the target; its device stays open. */
  detachTarget(): Target {
    const { target } = this.table;
    assert(target !== null, 'there is a target');
    this.table.target = null;
    // The array may be whole without it, and yet labels say that it has everything up to a block.
    if (target.replaces) this.targetAway = true;
    if (this.intent !== null) {
      this.intent.safeBelow = 0;
      if (target.replaces) this.intent.missAll();
    }
    this.membersChanged();
    return target;
  }

  override targetFailed(status: number): void {
    if (this.table.target === null) return;
    this.keeper?.targetLost(this.detachTarget(), status);
  }

  /** Array blocks from `first` to `end` were to be made right on a member that did not take it. */
  repairFailed(slot: number, status: number, first: number, end: number): void {
    if (this.members[slot]!.device !== null) this.metadataFailed(slot, status);
    if (this.members[slot]!.device === null) this.intent?.miss(first, end);
  }

  /** Members differ in what they offer; what was said about the size of requests stays. */
  protected override membersChanged(): void {
    this.table.refresh();
    const before = this.geometry;
    const target = this.targetDevice;
    const after = arrayGeometry(this.spec, this.level, this.members, target);
    this.shape = { ...after, requestBlocksMax: before.requestBlocksMax };
    this.observer?.deviceResized(this);
  }

  /** The members have grown: sizes and positions stay, blocks are added at the end. */
  grow(blockCount: number, dataSizes: readonly number[]): void {
    for (const member of this.members) member.dataSize = dataSizes[member.slot]!;
    const members = this.spec.members.map((member, slot) => ({
      ...member,
      dataSize: dataSizes[slot]!,
    }));
    this.spec = { ...this.spec, blockCount, members };
    this.membersChanged();
  }
}
