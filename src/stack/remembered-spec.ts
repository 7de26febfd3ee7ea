/**
 * An array without superblock, from what is remembered of it.                       (control plane)
 *
 * Nothing on its members can tell whether they are right, so their size has to be.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import type { ArraySpec } from '../raid/array-spec.ts';
import { planArray, planSpec } from '../raid/plan.ts';
import type { RememberedStack } from './state-store.ts';

/** `devices` are the open members, in slot order. Throws BANDSTAND_MEMBER_MISMATCH. */
export function rememberedSpec(
  remembered: RememberedStack,
  devices: readonly BlockDevice[],
): ArraySpec {
  const plan = planArray({
    name: remembered.name,
    level: remembered.level,
    stripBytes: remembered.stripBytes === 0 ? null : remembered.stripBytes,
    members: devices.map(({ name, geometry }) => ({ name, geometry })),
    superblock: false,
  });
  const sizeBytes = plan.blockCount * plan.blockBytes;
  if (sizeBytes !== remembered.sizeBytes) {
    throw new BandstandError('BANDSTAND_MEMBER_MISMATCH', {
      message: `cannot assemble ${remembered.name}: its members give ${formatSize(sizeBytes)} (${sizeBytes} bytes), it was created with ${formatSize(remembered.sizeBytes)} (${remembered.sizeBytes})`,
      hint: 'look whether a member was replaced or resized; nothing on the members can tell',
      details: { name: remembered.name, size_bytes: sizeBytes },
    });
  }
  return planSpec(plan, devices);
}
