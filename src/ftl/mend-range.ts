/**
 * mendRange: asks a base for a range that is right, in every way there is.         (control plane)
 *
 * A base without redundancy is asked once more: a read can go wrong once.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { FLAG_BACKGROUND, OP_READ } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import type { Mended, MendRequest, Redundancy } from '../block/redundancy.ts';
import { OK } from '../block/status.ts';

export async function mendRange(
  base: BlockDevice,
  redundancy: Redundancy | null,
  request: MendRequest,
): Promise<Mended> {
  if (redundancy !== null) return await redundancy.mend(request);
  const { block, blockCount, buffer } = request;
  const status = await submitStatus(base, OP_READ, block, blockCount, buffer, FLAG_BACKGROUND);
  return { found: status === OK && request.isRight(), status, wrong: [], repaired: [] };
}
