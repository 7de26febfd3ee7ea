/**
 * recordLoss: writes into the survivors' superblocks that members are missing.      (control plane)
 *
 * An array that starts for writing without a member leaves that member behind with the first write.
 * If nothing said so on disk, the member could come back later and be taken for current. So before
 * the first write the superblock moves on by one sequence number, with the entries of the absent
 * members as "missing", on every member that is present; each copy is flushed and read back.
 *
 * A crash in between leaves some members at the old sequence. Labels are marked with the new one
 * only afterwards, so that assembly can tell that nothing was written under it (assemble.ts), and
 * this runs again.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Assembly } from './assemble.ts';
import { verifyArea, writeArea } from './metadata-io.ts';
import { encodeSuperblock, type Superblock } from './superblock.ts';

/** True when the superblocks on disk do not yet say what this assembly is. */
export function needsRecord({ superblock, slots }: Assembly): boolean {
  return slots.some(({ device, recorded, seq }) =>
    device === null ? !recorded : seq !== superblock.seq,
  );
}

/**
 * Call it before the first write. Durable when it resolves; gives the assembly as it is then.
 * Throws BANDSTAND_DEVICE_IO or BANDSTAND_METADATA_UNVERIFIED: the array must not be started.
 */
export async function recordLoss(
  reactor: Reactor,
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
): Promise<Assembly> {
  if (!needsRecord(assembly)) return assembly;
  const superblock = nextSuperblock(assembly);
  const bytes = encodeSuperblock(superblock);
  for (const { device: name } of assembly.slots) {
    if (name === null) continue;
    const device = devices.get(name)!;
    await writeArea(reactor, device, 0, bytes);
    await flushDevice(device);
    await verifyArea(reactor, device, 0, bytes, 'superblock');
  }
  const slots = assembly.slots.map((slot) =>
    slot.device === null ? { ...slot, recorded: true } : { ...slot, seq: superblock.seq },
  );
  return { ...assembly, superblock, slots };
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
