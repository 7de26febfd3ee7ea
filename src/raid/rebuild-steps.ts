/**
 * The metadata of a rebuild: how it begins, where it has come to, how it ends.      (control plane)
 *
 * Each function is a sequence of durable steps that may be cut short at any point; what assembly
 * makes of every intermediate state is in rebuild-target.ts. A place that does not take a write is
 * reported: a member is ejected if the level bears that, a target is given up.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { OP_FLUSH } from '../block/block-io.ts';
import { flushDevice, submitStatus } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import { type ArrayMetadata, type FailedPlace, statusOf } from './array-metadata.ts';
import { AwaitedLock } from './awaited-lock.ts';
import { writeBitmap } from './bitmap-io.ts';
import { type LabelProcess, NO_PROCESS } from './label.ts';
import { Target } from './member.ts';
import { clearMetadata } from './metadata-io.ts';
import { memberOffset } from './plan.ts';
import type { RaidArray } from './raid-array.ts';
import type { Superblock, SuperblockMember } from './superblock.ts';
import type { WriteIntent } from './write-intent.ts';

/** A device that may fill a slot. */
export interface Candidate {
  readonly device: BlockDevice;
  readonly uuid: string;
  /** The only slot that it may fill, or null: any. */
  readonly slot: number | null;
  /** It was the slot's member and lacks only what was missed. */
  readonly delta: boolean;
  /** Member blocks below which an interrupted rebuild has filled it; 0 for a new one. */
  readonly block: number;
  /** The rebuild was begun before: superblock and label are in place. */
  readonly begun: boolean;
  /** The slot's member stays in service until the copy is complete. */
  readonly replace: boolean;
  /** The sequence of its newest label, of whichever array. */
  readonly labelSequence: number;
}

export interface RebuildContext {
  readonly reactor: Reactor;
  readonly array: RaidArray;
  readonly metadata: ArrayMetadata;
  readonly intent: WriteIntent;
  /** Members among them are ejected, if possible. True: the array can go on. */
  placesFailed(failed: readonly FailedPlace[]): boolean;
}

/** Throws BANDSTAND_MEMBER_MISMATCH when the device cannot fill the slot. Gives its data offset. */
export function checkCandidate(array: RaidArray, entry: SuperblockMember, one: Candidate): number {
  const { geometry, name } = one.device;
  const refuse = (why: string): never => {
    throw new BandstandError('BANDSTAND_MEMBER_MISMATCH', {
      message: `cannot use ${name} in slot ${entry.slot} of ${array.name}: ${why}`,
      details: { device: name, slot: entry.slot, array: array.name },
    });
  };
  if (geometry.blockBytes !== array.blockBytes) {
    refuse(
      `it has ${geometry.blockBytes}-byte blocks, the array has ${array.blockBytes}-byte blocks`,
    );
  }
  if (geometry.writeUnitBlocks !== 1) {
    refuse(`it can only be written in units of ${geometry.writeUnitBlocks} blocks`);
  }
  const former = one.begun || one.replace || one.uuid === entry.uuid;
  const offset = former ? entry.dataOffset : memberOffset(geometry);
  const needed = offset + entry.dataSize;
  if (geometry.blockCount < needed) {
    refuse(`it has ${geometry.blockCount} blocks, at least ${needed} are needed`);
  }
  return offset;
}

/**
 * Makes `one` the target of `slot`. False when it could not be done; then nothing is attached.
 * `process` is what the labels say from now on.
 */
export async function beginRebuild(
  context: RebuildContext,
  slot: number,
  one: Candidate,
  process: LabelProcess,
): Promise<boolean> {
  const { array, metadata, reactor } = context;
  const entry = metadata.superblock.members[slot]!;
  const dataOffset = checkCandidate(array, entry, one);
  const { device, uuid } = one;
  const isNew = !one.begun && uuid !== entry.uuid;
  if (isNew) {
    // What an earlier life of the device has left must not be taken for this one's.
    try {
      await clearMetadata(reactor, device);
    } catch (error) {
      if (error instanceof BandstandError) return false;
      throw error;
    }
  }
  metadata.add({ device, uuid, slot, role: 'target', sequence: one.labelSequence });
  // With a superblock and no label nobody could tell who it is, and nothing would assemble.
  if (isNew && !(await write(context, device, metadata.writeLabelOf(device, { process })))) {
    return false;
  }
  if (!one.begun) {
    const next: SuperblockMember = { ...entry, uuid, dataOffset, state: 'missing' };
    const change = one.replace ? (sb: Superblock) => sb : withEntry(next);
    if (!(await write(context, device, metadata.writeSuperblock(change)))) return false;
  }
  // With one slot out, missed bits are cleared as the copy goes on: from now on they tell a member
  // that left before nothing any more.
  const since =
    one.begun || one.replace || array.absent > 1 ? {} : { missedSince: metadata.superblock.seq };
  if (!(await write(context, device, metadata.writeLabels({ process, ...since })))) return false;
  array.attachTarget(new Target(slot, uuid, device, dataOffset, one.replace));
  return true;
}

/** Waits for a write to all places; true when the target and enough members took it. */
async function write(
  { metadata, placesFailed }: RebuildContext,
  target: BlockDevice,
  writing: Promise<FailedPlace[]>,
): Promise<boolean> {
  const failed = await writing;
  const others = failed.filter(({ place }) => place.device !== target);
  const goesOn = others.length === 0 || placesFailed(others);
  if (goesOn && others.length === failed.length) return true;
  metadata.drop(target);
  return false;
}

function withEntry(entry: SuperblockMember): (superblock: Superblock) => Superblock {
  return (superblock) => ({
    ...superblock,
    members: superblock.members.map((member) => (member.slot === entry.slot ? entry : member)),
  });
}

/**
 * Makes durable that everything below `block` (member blocks) is on the target. `end` is the same
 * in array blocks. Does nothing when the target is gone.
 */
export async function checkpointRebuild(
  context: RebuildContext,
  process: LabelProcess,
  end: number,
): Promise<void> {
  const { array, metadata, intent } = context;
  const { target } = array;
  if (target === null) return;
  const status = await submitStatus(target.device, OP_FLUSH, 0, 0, 0);
  if (status !== OK) {
    array.targetFailed(status);
    return;
  }
  if (array.target !== target) return;
  if (array.absent === (target.replaces ? 0 : 1)) {
    intent.clearMissedBelow(end);
    await intent.settled();
  }
  const failed = await metadata.writeLabels({ process });
  const ofTarget = failed.find(({ place }) => place.device === target.device);
  context.placesFailed(failed.filter((one) => one !== ofTarget));
  if (ofTarget !== undefined) array.targetFailed(ofTarget.status);
}

/**
 * Brings the target into service. Gives the device that it has replaced, which is closed by the
 * caller; or false when it could not be done, and the target is given up.
 */
export async function finishRebuild(context: RebuildContext): Promise<BlockDevice | null | false> {
  const { array } = context;
  const lock = new AwaitedLock(array.locks);
  await lock.acquire();
  try {
    return await bringIntoService(context);
  } finally {
    lock.release();
  }
}

async function bringIntoService(context: RebuildContext): Promise<BlockDevice | null | false> {
  const { array, metadata, intent } = context;
  await intent.suspend();
  try {
    await intent.settled();
    const { target } = array;
    if (target === null) return false;
    const complete = array.absent === (target.replaces ? 0 : 1);
    if (!(await prepareTarget(context, target, complete))) return false;
    const { slot, uuid, dataOffset, device } = target;
    const entry = metadata.superblock.members[slot]!;
    const next: SuperblockMember = { ...entry, uuid, dataOffset, state: 'configured' };
    const failed = await metadata.writeSuperblock(withEntry(next));
    const ofTarget = failed.find(({ place }) => place.device === device);
    if (ofTarget !== undefined) {
      // The others may call it configured by now. Its own copy is older, so it can only come back
      // as stale; the next record says who has the slot: the member that stays, or nobody.
      array.targetFailed(ofTarget.status);
    }
    if (!context.placesFailed(failed.filter((one) => one !== ofTarget))) return false;
    if (array.target !== target) {
      const back: SuperblockMember = target.replaces ? entry : { ...next, state: 'failed' };
      context.placesFailed(await metadata.writeSuperblock(withEntry(back)));
      return false;
    }
    metadata.place(device)!.role = 'member';
    const old = array.enterService();
    if (old !== null) metadata.drop(old);
    if (!array.incomplete) intent.clearMissed();
    await intent.settled();
    const since = array.incomplete ? {} : { missedSince: metadata.superblock.seq };
    context.placesFailed(await metadata.writeLabels({ process: NO_PROCESS, ...since }));
    return old;
  } finally {
    intent.safeBelow = 0;
    intent.resume();
  }
}

/** Everything that it needs before it is called a member. */
async function prepareTarget(
  { array, metadata, intent, reactor }: RebuildContext,
  target: Target,
  complete: boolean,
): Promise<boolean> {
  const { bitmap } = metadata.facts;
  assert(bitmap !== null, 'an array with redundancy has a bitmap');
  try {
    await flushDevice(target.device);
    const states = intent.states(complete);
    await writeBitmap(reactor, target.device, bitmap, metadata.superblock.uuid, states);
  } catch (error) {
    array.targetFailed(statusOf(error));
    return false;
  }
  return array.target === target;
}
