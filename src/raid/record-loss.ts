/**
 * recordLoss: writes into the survivors' superblocks that members are missing.      (control plane)
 *
 * An array that starts for writing without a member leaves that member behind with the first write.
 * If nothing said so on disk, the member could come back later and be taken for current. So before
 * the first write the superblock moves on by one sequence number, with the entries of the absent
 * members as "missing", on every member that is present; each copy is flushed and read back. The
 * target of an interrupted rebuild gets it last: so one that has the newest superblock proves that
 * the members in service have it.
 *
 * From then on the write-intent bitmap knows what the absent members miss. `missedSince` says for
 * which of them: for all that had the last superblock of the complete array, or, when others were
 * missing before, for those that it covered already.
 *
 * Where nothing has to be recorded, a superblock that no label goes with yet is written again all
 * the same: it may be in the cache of its member only, and a flush that has failed has lost it
 * there. What is built on it (an FTL that has grown with the array) must not outlive it.
 *
 * A crash in between leaves some members at the old sequence. Labels are marked with the new one
 * only afterwards, so that assembly can tell that nothing was written under it (assemble.ts), and
 * this runs again.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import type { AssembledSlot, Assembly } from './assemble.ts';
import { verifyArea, writeArea } from './metadata-io.ts';
import type { RebuildTarget } from './rebuild-target.ts';
import type { ReturningMember } from './returning-members.ts';
import { encodeSuperblock, type Superblock } from './superblock.ts';

/** True when the superblocks on disk do not yet say what this assembly is. */
export function needsRecord({ superblock, slots }: Assembly): boolean {
  return slots.some(({ device, recorded, seq }) =>
    device === null ? !recorded : seq !== superblock.seq,
  );
}

/**
 * The `missedSince` that goes with a loss from an array with this superblock and, so far, this
 * `missedSince`. It presumes that what a bitmap does not know counts as missed.
 */
export function missedSinceAfterLoss(superblock: Superblock, missedSince: number): number {
  const complete = superblock.members.every(({ state }) => state === 'configured');
  return complete || missedSince === 0 ? superblock.seq : missedSince;
}

/**
 * Call it before the first write. Durable when it resolves; gives the assembly as it is then.
 * Throws BANDSTAND_DEVICE_IO or BANDSTAND_METADATA_UNVERIFIED: the array must not be started. A
 * target that is not among `devices`, or that cannot be written, is a target no more.
 */
export async function recordLoss(
  reactor: Reactor,
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
): Promise<Assembly> {
  if (!needsRecord(assembly)) {
    await catchUp(reactor, assembly, devices, isUnconfirmed);
    return assembly;
  }
  await catchUp(reactor, assembly, devices);
  const superblock = nextSuperblock(assembly);
  const bytes = encodeSuperblock(superblock);
  for (const { device: name } of assembly.slots) {
    if (name === null) continue;
    await writeSuperblock(reactor, devices.get(name)!, bytes);
  }
  const slots = assembly.slots.map((slot) =>
    slot.device === null ? { ...slot, recorded: true } : { ...slot, seq: superblock.seq },
  );
  const lost = superblock.members.some(({ state }, slot) => {
    return state !== assembly.superblock.members[slot]!.state;
  });
  const recorded: Assembly = {
    ...assembly,
    superblock,
    slots,
    missedSince: lost
      ? missedSinceAfterLoss(assembly.superblock, assembly.missedSince)
      : assembly.missedSince,
  };
  return await recordOnTarget(reactor, recorded, devices, bytes);
}

/**
 * The newest record goes to every member first, so that no two members are ever more than one
 * record apart: that is all that assembly takes for an interruption. Also to those that show it: a
 * server that was killed may have left it in their caches only.
 */
async function catchUp(
  reactor: Reactor,
  { superblock, slots }: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
  isMeant: (slot: AssembledSlot, superblock: Superblock) => boolean = () => true,
): Promise<void> {
  const bytes = encodeSuperblock(superblock);
  for (const slot of slots) {
    if (slot.device === null || !isMeant(slot, superblock)) continue;
    await writeSuperblock(reactor, devices.get(slot.device)!, bytes);
  }
}

/** Labels are written when the superblock is durable: no label says that it is. */
function isUnconfirmed({ label }: AssembledSlot, { seq }: Superblock): boolean {
  return label?.superblockSeq !== seq;
}

async function writeSuperblock(
  reactor: Reactor,
  device: BlockDevice,
  bytes: Uint8Array,
): Promise<void> {
  await writeArea(reactor, device, 0, bytes);
  await flushDevice(device);
  await verifyArea(reactor, device, 0, bytes, 'superblock');
}

/** The labels are behind the superblock now, so its checkpoint is void: see rebuild-target.ts. */
async function recordOnTarget(
  reactor: Reactor,
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
  bytes: Uint8Array,
): Promise<Assembly> {
  const { target } = assembly;
  if (target === null) return assembly;
  const device = devices.get(target.device);
  let why = 'it is not open';
  if (device !== undefined) {
    try {
      await writeSuperblock(reactor, device, bytes);
      return assembly;
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      why = error.message;
    }
  }
  return withoutTarget(assembly, target, why);
}

function withoutTarget(assembly: Assembly, target: RebuildTarget, why: string): Assembly {
  const { slot, uuid, device, replace, labelSequence } = target;
  const text = `the rebuild of ${device} does not go on: ${why}`;
  const base = { slot, uuid, device, delta: false, failed: true, labelSequence };
  const returning: ReturningMember = { ...base, why: text };
  return {
    ...assembly,
    target: null,
    returning: replace ? assembly.returning : [...assembly.returning, returning],
    unused: [...assembly.unused, { device, reason: `slot ${slot}: ${text}` }],
    warnings: [...assembly.warnings, text],
  };
}

function nextSuperblock({ superblock, slots }: Assembly): Superblock {
  return {
    ...superblock,
    seq: superblock.seq + 1,
    members: superblock.members.map((member) => {
      const slot = slots[member.slot]!;
      return slot.device === null && !slot.recorded ? { ...member, state: 'missing' } : member;
    }),
  };
}
