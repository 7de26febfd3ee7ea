/**
 * The core of an FTL without an engine: for parts that only look at map, bands and write buffer.
 */

import { Arena } from '../../src/block/arena.ts';
import { Bands } from '../../src/ftl/bands.ts';
import { FtlCore } from '../../src/ftl/ftl-core.ts';
import { FtlStatistics } from '../../src/ftl/ftl-statistics.ts';
import { deriveGeometry, type FtlShape } from '../../src/ftl/geometry.ts';
import { L2p } from '../../src/ftl/l2p.ts';
import { Placement } from '../../src/ftl/placement.ts';
import { Superseders } from '../../src/ftl/superseders.ts';
import { Throttle } from '../../src/ftl/throttle.ts';
import { bufferBytes, WriteBuffer } from '../../src/ftl/write-buffer.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from './ram-device.ts';

const SLOTS = 4;

/** Over a base with blocks of 512 or 4096 bytes; all bands are free. */
export function coreOf(shape: FtlShape, blockBytes: 512 | 4096): FtlCore {
  const geometry = deriveGeometry(shape);
  const arena = new Arena(new ArrayBuffer(2 ** 20), 0);
  const reactor = new SimulatedReactor({ seed: 1, arena });
  const blockCount = (geometry.units + 3) * shape.unitBlocks * (4096 / blockBytes);
  const memory = arena.allocate(bufferBytes(geometry, SLOTS));
  return new FtlCore({
    reactor,
    base: new RamDevice('ram', { blockCount, blockBytes }),
    geometry,
    l2p: new L2p(geometry),
    bands: new Bands(geometry, new Placement(geometry.bandCount, geometry.classCount)),
    buffer: new WriteBuffer(reactor, geometry, memory, SLOTS),
    device: [1, 2],
    superseders: new Superseders(SLOTS, geometry.bandCount, true),
    throttle: new Throttle(4, geometry.dataBlocks),
    statistics: new FtlStatistics(),
    host: { wake: () => {}, failed: () => {} },
  });
}

/** All blocks of a set below `end`, found by walking through it as a process does. */
export function blocksOf(
  ranges: { nextLive(from: number): number; nextDead(from: number): number },
  end: number,
): number[] {
  const found: number[] = [];
  for (let from = ranges.nextLive(0); from !== -1 && from < end; ) {
    const dead = ranges.nextDead(from);
    if (dead <= from) throw new Error(`the range at ${from} is empty`);
    for (; from < dead; from += 1) found.push(from);
    from = ranges.nextLive(dead);
  }
  return found;
}
