/**
 * FtlIdentity: who an FTL is, and what it cannot start without, before it is opened.
 *                                                                                 (control plane)
 * What it cannot start without: its NV cache, and a write buffer that a killed server has left.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Redundancy } from '../block/redundancy.ts';
import type { FtlCache } from './ftl-superblock.ts';
import { readSuperblock } from './superblock-io.ts';

export interface FtlIdentity {
  readonly uuid: string;
  /** The NV cache without which it shows old data; null: it has none. */
  readonly cache: FtlCache | null;
  /** The boot in which writes were answered out of a write buffer; null: there are none to lose. */
  readonly bufferBoot: string | null;
}

/** Reads the superblocks of an open base; throws as `open` would. Nothing is written. */
export async function readFtlIdentity(
  reactor: Reactor,
  base: BlockDevice,
  redundancy: Redundancy | null,
): Promise<FtlIdentity> {
  const { superblock } = await readSuperblock(reactor, { base, redundancy, readOnly: true });
  const { bufferBoot, cache, uuid } = superblock;
  return { uuid, cache, bufferBoot };
}
