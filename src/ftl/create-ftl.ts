/**
 * Creating an FTL: what a base holds before the first start.                        (control plane)
 *
 * Two superblocks of an empty device, and nothing else: no page is named, so the map is empty, and
 * whatever lies in the bands is of another UUID. Both copies are wiped first, so that a creation
 * that is interrupted leaves no device rather than half of an old one.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { type FtlCache, type FtlSuperblock, superblockCopyBytes } from './ftl-superblock.ts';
import { deriveGeometry, type FtlShapeOptions, planShape } from './geometry.ts';
import { writeSuperblock, writeUnits } from './superblock-io.ts';

export interface CreateFtlOptions extends FtlShapeOptions {
  readonly uuid: string;
  /** The NV cache that it will have, whose header is there already. */
  readonly cache?: FtlCache | null;
}

/** Writes an empty device over an open base; what was there is lost. */
export async function createFtl(
  reactor: Reactor,
  base: BlockDevice,
  options: CreateFtlOptions,
): Promise<FtlSuperblock> {
  const shape = planShape(base.name, base.geometry, options);
  const geometry = deriveGeometry(shape);
  await writeUnits(reactor, base, 0, new Uint8Array(2 * superblockCopyBytes(geometry)));
  await flushDevice(base);
  const first: FtlSuperblock = {
    uuid: options.uuid,
    sequence: 1,
    clean: true,
    epoch: 0,
    shape,
    checkpoint: 0,
    checkpointStart: 0,
    checkpointEpoch: 0,
    writeSequence: 0,
    openBands: [],
    bufferBoot: null,
    cache: options.cache ?? null,
    pages: new Uint32Array(geometry.pageCount),
  };
  const second = { ...first, sequence: 2 };
  await writeSuperblock(reactor, base, first);
  await writeSuperblock(reactor, base, second);
  return second;
}
