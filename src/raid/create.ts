/**
 * create: writes the metadata of a new array to its members.                        (control plane)
 *
 * Order, so that a crash at any point leaves either nothing, or something that says it is not
 * finished, or the complete array:
 *
 *   1. every spare becomes one (spare-label.ts);
 *   2. the first MiB of every member becomes zeroes (old superblocks and signatures vanish);
 *   3. every member gets a label in state "creating";
 *   4. every member gets its superblock; all of it is flushed and read back;
 *   5. every label becomes "clean".
 *
 * Each step ends with a flush on every device before the next begins. Assembly refuses an array
 * whose labels all say "creating"; one clean label proves that step 4 was complete. After an error
 * the devices written so far are wiped again, as far as they let themselves be written.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice, writeBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Examination, examineDevice } from './examine.ts';
import { type Label, type LabelState, NO_PROCESS } from './label.ts';
import { verifyArea, verifyLabel, writeArea, writeLabel } from './metadata-io.ts';
import { type ArrayPlan, plannedSuperblock } from './plan.ts';
import { labelSpare } from './spare-label.ts';
import { encodeSuperblock, type Superblock } from './superblock.ts';
import { DATA_OFFSET_BYTES_MIN } from './superblock-layout.ts';
import { wipeDevice } from './wipe.ts';

/** Both superblocks of an FTL lie in it. */
const FTL_START_BYTES = 4 * 2 ** 20;

export interface CreateOptions {
  /** Devices on which a superblock or label, valid or damaged, may be overwritten; none: []. */
  readonly overwrite?: readonly BlockDevice[];
  /** The array is for an FTL, whose metadata the caller writes next. */
  readonly ftl?: boolean;
  /** The array is the mirror of an NV cache, which the caller makes next. */
  readonly nvCache?: boolean;
  /** Open for writing, the ones that the plan names, in its order. */
  readonly spares?: readonly BlockDevice[];
}

/**
 * `devices` are open for writing, in slot order, the ones that `plan` was made for. Throws
 * BANDSTAND_DEVICE_IN_USE before anything is written, BANDSTAND_DEVICE_IO and
 * BANDSTAND_METADATA_UNVERIFIED later. Returns the superblock that is on every member.
 */
export async function createArray(
  reactor: Reactor,
  plan: ArrayPlan,
  devices: readonly BlockDevice[],
  options: CreateOptions = {},
): Promise<Superblock> {
  assert(devices.length === plan.members.length, 'a plan has a device for each slot');
  const spares = options.spares ?? [];
  assert(spares.length === plan.spares.length, 'a plan has a device for each spare');
  const superblock = plannedSuperblock(plan);
  const all = [...devices, ...spares];
  for (const device of all) {
    if (options.overwrite?.includes(device) === true) continue;
    refuseInUse(plan, await examineDevice(reactor, device));
  }
  try {
    for (const [index, device] of spares.entries()) {
      await labelSpare(reactor, device, superblock, plan.spares[index]!.uuid);
    }
    await clearAll(reactor, devices);
    if (options.ftl === true) await clearFtl(reactor, superblock, devices);
    const { ftl = false, nvCache = false } = options;
    await writeAll(reactor, superblock, devices, { ftl, nvCache });
  } catch (error) {
    for (const device of all) await wipeDevice(reactor, device).catch(() => {});
    throw error;
  }
  return superblock;
}

function refuseInUse(plan: ArrayPlan, found: Examination): void {
  const { device, superblock, labels } = found;
  const refuse = (what: string): never => {
    throw new BandstandError('BANDSTAND_DEVICE_IN_USE', {
      message: `cannot create ${plan.name}: ${device} holds ${what}`,
      hint: `run \`bandstand wipe ${device}\` if nothing on it is needed`,
      details: { name: plan.name, device },
    });
  };
  if (superblock.value !== null) {
    refuse(`a member of the array ${superblock.value.name} (${superblock.value.uuid})`);
  }
  if (superblock.state === 'damaged') refuse('a damaged superblock of an array');
  if (labels.some(({ state }) => state !== 'absent')) refuse('a member label of an array');
}

async function clearAll(reactor: Reactor, devices: readonly BlockDevice[]): Promise<void> {
  const zeroes = new Uint8Array(DATA_OFFSET_BYTES_MIN);
  for (const device of devices) {
    await writeArea(reactor, device, 0, zeroes);
    await flushDevice(device);
  }
}

/**
 * Before the labels say that there is an FTL: a creation that is interrupted must not leave that of
 * an earlier array in the same place.
 */
async function clearFtl(
  reactor: Reactor,
  { blockBytes, members }: Superblock,
  devices: readonly BlockDevice[],
): Promise<void> {
  for (const { slot, dataOffset, dataSize } of members) {
    const device = devices[slot]!;
    const blocks = Math.min(dataSize, FTL_START_BYTES / blockBytes);
    await writeBlocks(reactor, device, dataOffset, new Uint8Array(blocks * blockBytes));
    await flushDevice(device);
  }
}

async function writeAll(
  reactor: Reactor,
  superblock: Superblock,
  devices: readonly BlockDevice[],
  content: Pick<Label, 'ftl' | 'nvCache'>,
): Promise<void> {
  const label = (slot: number, state: LabelState): Label => {
    const sequence = state === 'creating' ? 1 : 2;
    return { ...firstLabel(superblock, slot), state, ...content, sequence };
  };
  const creating = superblock.members.map((_, slot) => label(slot, 'creating'));
  for (const [slot, device] of devices.entries()) {
    await writeLabel(reactor, device, creating[slot]!);
  }
  const bytes = encodeSuperblock(superblock);
  for (const device of devices) {
    await writeArea(reactor, device, 0, bytes);
    await flushDevice(device);
  }
  for (const [slot, device] of devices.entries()) {
    await verifyArea(reactor, device, 0, bytes, 'superblock');
    await verifyLabel(reactor, device, creating[slot]!);
  }
  for (const [slot, device] of devices.entries()) {
    const clean = label(slot, 'clean');
    await writeLabel(reactor, device, clean);
    await verifyLabel(reactor, device, clean);
  }
}

function firstLabel(
  superblock: Superblock,
  slot: number,
): Omit<Label, 'state' | 'ftl' | 'nvCache' | 'sequence'> {
  return {
    memberUuid: superblock.members[slot]!.uuid,
    arrayUuid: superblock.uuid,
    superblockSeq: superblock.seq,
    slot,
    role: 'member',
    eventCount: 0,
    bitmap: null,
    process: NO_PROCESS,
    missedSince: 0,
  };
}
