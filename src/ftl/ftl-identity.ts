/**
 * FtlIdentity: who an FTL is, and which NV cache it has, before it is opened.       (control plane)
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
}

/** Reads the superblocks of an open base; throws as `open` would. Nothing is written. */
export async function readFtlIdentity(
  reactor: Reactor,
  base: BlockDevice,
  redundancy: Redundancy | null,
): Promise<FtlIdentity> {
  const { superblock } = await readSuperblock(reactor, { base, redundancy, readOnly: true });
  return { uuid: superblock.uuid, cache: superblock.cache };
}
