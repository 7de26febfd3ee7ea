/**
 * ArrayProcessHost: an array as the background process sees it.                       (data plane)
 *
 * The process works in member blocks and sends I/O of its own, past pieces and queues; what it does
 * to a range is kept apart from user I/O by the array's range locks.
 */

import { assert } from '../block/assert.ts';
import { type BlockIo, OP_READ, type Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Member } from './member.ts';
import type { ProcessHost } from './process-host.ts';
import type { RaidArray } from './raid-array.ts';
import type { RangeLocks } from './range-locks.ts';

export class ArrayProcessHost implements ProcessHost {
  readonly redundancy: 'mirror' | 'parity';
  readonly blockBytes: number;
  readonly stripBlocks: number;
  readonly locks: RangeLocks;
  readonly dataStrips: number;
  readonly #array: RaidArray;

  constructor(array: RaidArray) {
    const { level, members } = array.spec;
    assert(level === 'raid1' || level === 'raid5f', 'an array with a process has redundancy');
    this.#array = array;
    this.redundancy = level === 'raid1' ? 'mirror' : 'parity';
    this.blockBytes = array.blockBytes;
    this.stripBlocks = array.stripBlocks;
    this.locks = array.locks;
    this.dataStrips = level === 'raid1' ? 1 : members.length - 1;
  }

  get reactor(): Reactor {
    return this.#array.reactor;
  }

  get memberDataBlocks(): number {
    return this.#array.spec.blockCount / this.dataStrips;
  }

  get memberBlocksMax(): number {
    return this.#array.memberBlocksMax;
  }

  get members(): readonly Member[] {
    return this.#array.members;
  }

  get targetSlot(): number {
    return this.#array.targetSlot;
  }

  /** Member blocks that a process takes as units are whole strips. */
  arrayBlock(memberBlock: number): number {
    return memberBlock * this.dataStrips;
  }

  paritySlot(stripe: number): number {
    const count = this.#array.members.length;
    return count - 1 - (stripe - Math.floor(stripe / count) * count);
  }

  // data path

  sendToMember(
    io: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const member = this.#array.members[slot]!;
    io.op = op;
    io.flags = flags;
    io.block = member.dataOffset + block;
    io.blockCount = blockCount;
    io.buffer = buffer;
    member.device!.submit(io);
  }

  sendToTarget(
    io: BlockIo,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const target = this.#array.target!;
    io.op = op;
    io.flags = flags;
    io.block = target.dataOffset + block;
    io.blockCount = blockCount;
    io.buffer = buffer;
    target.device.submit(io);
  }

  // end data path

  memberReadFailed(slot: number, status: number): void {
    this.#array.noteError(slot, OP_READ, status);
  }

  memberWriteFailed(slot: number, status: number, memberBlock: number, count: number): void {
    const unit = Math.max(1, this.stripBlocks);
    const first = Math.floor(memberBlock / unit) * unit;
    const end = Math.ceil((memberBlock + count) / unit) * unit;
    this.#array.repairFailed(slot, status, this.arrayBlock(first), this.arrayBlock(end));
  }
}
