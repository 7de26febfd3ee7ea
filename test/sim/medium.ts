/**
 * The simulated disk itself: what its cache may lose, and what it may not.
 */

import test from 'ava';
import { SimMedium, type SimWrite } from '../_sim/medium.ts';

const BLOCK = 512;

function medium(changes: { unitBytes?: number; volatileCache?: boolean } = {}): SimMedium {
  return new SimMedium({
    name: 'disk',
    blockBytes: BLOCK,
    blockCount: 64,
    unitBytes: 512,
    volatileCache: true,
    features: 0,
    ...changes,
  });
}

function write(disk: SimMedium, block: number, blockCount: number, byte: number): SimWrite {
  const bytes = new Uint8Array(blockCount * BLOCK).fill(byte);
  const made = disk.makeWrite(block, blockCount, bytes);
  disk.apply(made);
  return made;
}

/** The first byte of each of the first `count` blocks. */
function content(disk: SimMedium, count: number): number[] {
  const bytes = new Uint8Array(count * BLOCK);
  disk.now.read(0, bytes, 0, bytes.length);
  return Array.from({ length: count }, (_, block) => bytes[block * BLOCK]!);
}

const LOST = () => false;
const KEPT = () => true;

test('a power cut takes or leaves what was not flushed, and only that', (t) => {
  const disk = medium();
  disk.complete(write(disk, 0, 1, 1), false);
  disk.flush(disk.tick());
  disk.complete(write(disk, 0, 2, 2), false);
  disk.complete(write(disk, 1, 1, 3), false);
  t.deepEqual(content(disk, 2), [2, 3]);
  const kept = disk.clone();
  disk.cutPower(LOST, []);
  t.deepEqual(content(disk, 2), [1, 0]);
  kept.cutPower(KEPT, []);
  t.deepEqual(content(kept, 2), [2, 3]);
});

test('an older version may have reached the medium when the newer one has not', (t) => {
  const disk = medium();
  const older = write(disk, 0, 1, 1);
  const newer = write(disk, 0, 1, 2);
  disk.complete(older, false);
  disk.complete(newer, false);
  t.deepEqual(disk.undecided(), [older, newer]);
  disk.cutPower((candidate) => candidate === older, []);
  t.deepEqual(content(disk, 1), [1]);
});

test('a flush covers what had completed before it was submitted, and nothing else', (t) => {
  const disk = medium();
  const before = write(disk, 0, 1, 1);
  const meanwhile = write(disk, 1, 1, 2);
  disk.complete(before, false);
  const tick = disk.tick();
  disk.complete(meanwhile, false);
  disk.flush(tick);
  disk.cutPower(LOST, []);
  t.deepEqual(content(disk, 2), [1, 0]);
});

test('FUA makes its own blocks durable, and with them what was written there before', (t) => {
  const disk = medium();
  disk.complete(write(disk, 0, 3, 1), false);
  disk.complete(write(disk, 1, 1, 2), true);
  disk.cutPower(LOST, []);
  t.deepEqual(content(disk, 3), [0, 2, 0]);
});

test('without a volatile cache what has completed is durable, and what flies may tear', (t) => {
  const disk = medium({ volatileCache: false });
  disk.complete(write(disk, 0, 2, 1), false);
  const flying = disk.makeWrite(0, 4, new Uint8Array(4 * BLOCK).fill(2));
  disk.cutPower((_, unit) => unit === 1 || unit === 3, [flying]);
  t.deepEqual(content(disk, 4), [1, 2, 0, 2]);
});

test('an atomic unit of 4096 bytes is written as a whole or not at all', (t) => {
  const disk = medium({ unitBytes: 4096 });
  const flying = disk.makeWrite(6, 6, new Uint8Array(6 * BLOCK).fill(2));
  const units: number[] = [];
  disk.cutPower(
    (_, unit) => {
      units.push(unit);
      return unit === 0;
    },
    [flying],
  );
  t.deepEqual(units, [0, 1]);
  t.deepEqual(content(disk, 12), [0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0]);
});

test('what a failed flush has dropped is seen until the power is cut, and no flush helps', (t) => {
  const disk = medium();
  disk.complete(write(disk, 0, 1, 1), false);
  disk.failFlush(0, disk.tick(), () => true);
  t.true(disk.hasDropped);
  disk.flush(disk.tick());
  t.deepEqual(content(disk, 1), [1]);
  disk.complete(write(disk, 1, 1, 2), false);
  disk.flush(disk.tick());
  disk.cutPower(KEPT, []);
  t.deepEqual(content(disk, 2), [0, 2]);
});

test('a kill leaves the cache as it is, and what was in flight lands as it likes', (t) => {
  const disk = medium();
  disk.complete(write(disk, 0, 1, 1), false);
  const flying = disk.makeWrite(1, 2, new Uint8Array(2 * BLOCK).fill(2));
  disk.kill((_, unit) => unit === 2, [flying]);
  t.deepEqual(content(disk, 3), [1, 0, 2]);
  disk.flush(disk.tick());
  disk.cutPower(LOST, []);
  t.deepEqual(content(disk, 3), [1, 0, 2]);
});

test('an unreadable block can be read again when it was written, a clone has its own', (t) => {
  const disk = medium();
  disk.bad.add(1).add(2);
  const copy = disk.clone();
  write(disk, 1, 1, 1);
  t.deepEqual([...disk.bad], [2]);
  t.deepEqual([...copy.bad], [1, 2]);
  write(copy, 0, 4, 7);
  t.deepEqual(content(disk, 2), [0, 1]);
  t.deepEqual(content(copy, 2), [7, 7]);
});
