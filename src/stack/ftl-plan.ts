/**
 * The FTL of a new stack: planned before anything is written, and then made.        (control plane)
 *
 * What is planned is what is made: both see an array of the same geometry.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, Geometry } from '../block/block-device.ts';
import { createFtl } from '../ftl/create-ftl.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import { FTL_BLOCK_BYTES, planShape } from '../ftl/geometry.ts';
import { type ArrayPlan, planSpec } from '../raid/plan.ts';
import { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { plannedGeometry } from './planned-array.ts';

export interface PlannedFtl {
  readonly overProvisioning: number;
  readonly bandCount: number;
  readonly bandBytes: number;
  /** What is written at once. */
  readonly unitBytes: number;
  /** What its user gets. */
  readonly sizeBytes: number;
}

/** Throws BANDSTAND_DEVICE_TOO_SMALL. `overProvisioning` is in per cent, null for the default. */
export async function planFtl(
  ring: Ring,
  plan: ArrayPlan,
  members: readonly { readonly geometry: Geometry }[],
  overProvisioning: number | null,
): Promise<PlannedFtl> {
  const base = await plannedGeometry(
    ring,
    plan,
    members.map(({ geometry }) => geometry),
  );
  const shape = planShape(plan.name, base, overProvisioning === null ? {} : { overProvisioning });
  const unitBytes = shape.unitBlocks * FTL_BLOCK_BYTES;
  return {
    overProvisioning: shape.overProvisioning,
    bandCount: shape.bandCount,
    bandBytes: shape.bandUnits * unitBytes,
    unitBytes,
    sizeBytes: shape.blockCount * FTL_BLOCK_BYTES,
  };
}

export interface FtlIdentity {
  /** Random even where the array's is given: units of an earlier device are nobody's then. */
  readonly uuid: string;
  readonly cache: FtlCache | null;
}

/**
 * Writes an empty FTL over a new array; closes `devices`, its members, which are open. Until it is
 * complete, the labels say that there is an FTL, and a start does not find it.
 */
export async function makeFtl(
  ring: Ring,
  plan: ArrayPlan,
  { cache, overProvisioning, sizeBytes, uuid }: PlannedFtl & FtlIdentity,
  devices: readonly BlockDevice[],
): Promise<void> {
  const array = new RaidArray(planSpec(plan, devices), { membersOpened: true });
  await array.open(ring);
  try {
    const { shape } = await createFtl(ring, array, { uuid, cache, overProvisioning });
    assert(shape.blockCount * FTL_BLOCK_BYTES === sizeBytes, 'an FTL becomes what was planned');
  } finally {
    await array.close();
  }
}
