import test from 'ava';
import { OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, ENODEV, OK } from '../../src/block/status.ts';
import { plannedBitmap, REGION_ALL, regionsOf } from '../../src/raid/bitmap-format.ts';
import { readBitmap } from '../../src/raid/bitmap-io.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const BEFORE = 256;
const MORE = 64;
const SUPERBLOCK_BYTES = 4096;
const REGION = FAST.regionBlocks!;
/** No region is cleared before the test looks. */
const LAZY = { intentIdleUs: 60_000_000, autoRebuild: false };

const bitmapStarts = (block: number): boolean => block > 0 && block < OFFSET && block % 256 === 0;

/** How the third member leaves: at its own write, or together with a write of the first. */
const WAYS = {
  'does not take the superblock': (leaves: RamDevice) => {
    leaves.fault = ({ op, block }) => (op === OP_WRITE && block === 0 ? EIO : OK);
  },
  'does not take the bitmap': (leaves: RamDevice) => {
    leaves.fault = ({ op, block }) => (op === OP_WRITE && bitmapStarts(block) ? EIO : OK);
  },
  'vanishes while the others take the superblock': (leaves: RamDevice, other: RamDevice) => {
    let flushes = 0;
    other.fault = ({ op, block }) => {
      if (op === OP_WRITE && block === 0) flushes = 1;
      if (op !== OP_FLUSH || flushes !== 1) return OK;
      flushes += 1;
      leaves.observer!.deviceFailed(leaves, ENODEV);
      return OK;
    };
  },
};

for (const [way, arm] of Object.entries(WAYS)) {
  for (const slot of [0, 2]) {
    test(`what a member misses is known when it ${way} of a growth, slot ${slot}`, async (t) => {
      const bench = new ManagedBench({ level: 'raid1', members: 3, blocks: BEFORE });
      await bench.create();
      const manager = await bench.start(bench.disks, {}, LAZY);
      await bench.settle();
      const content = new Random(1).bytes(BEFORE * BLOCK);
      t.is(await bench.drive(bench.write(0, content)), OK);
      const leaves = bench.disks[slot]!;
      const others = bench.disks.filter((disk) => disk !== leaves);
      arm(leaves, others[0]!);
      for (const disk of bench.disks) disk.grow(MORE);
      await bench.drive(bench.sleep(5000));
      t.is(bench.health()[slot] === 'ok', false);
      const { blockCount } = manager.array.geometry;
      const bitmap = plannedBitmap(blockCount, REGION);
      for (const disk of others) {
        const { uuid } = manager.superblock!;
        const regions = regionsOf(blockCount, REGION);
        const reading = readBitmap(bench.reactor, disk, bitmap, uuid, regions);
        const { states } = await bench.drive(reading);
        // Everything was written a moment ago, or is new.
        t.deepEqual([...states], new Array(regions).fill(REGION_ALL), disk.name);
      }
      for (const disk of bench.disks) disk.fault = () => OK;
      const more = new Random(2).bytes(blockCount * BLOCK);
      t.is(await bench.drive(bench.write(0, more)), OK);
      await bench.drive(manager.removeMember(slot));
      await bench.drive(leaves.open(bench.reactor));
      await bench.stop();
      await leaves.close();
      const again = new ManagedBench({ level: 'raid1', members: 3, blocks: BEFORE }, bench.disks);
      await again.start(again.disks, { scan: true, degraded: true });
      for (const disk of again.disks) t.true(disk.isOpen);
      sameBytes(t, await again.drive(again.read(0, blockCount)), more);
      await again.stop();
    });
  }
}

for (const fails of [false, true]) {
  const title = fails
    ? 'is not room of the array when it fails'
    : 'grows the array when it is whole';
  test(`what grows while it is rebuilt ${title}`, async (t) => {
    const bench = new ManagedBench({ level: 'raid1', members: 2, blocks: BEFORE, blanks: 2 });
    await bench.create();
    const [first, , target, other] = bench.disks;
    const manager = await bench.start(bench.disks.slice(0, 2));
    await bench.settle();
    // It could have been larger from the beginning; a superblock may leave such room on purpose.
    const before = manager.array.geometry.blockCount;
    for (const disk of [first!, other!]) disk.observer = null;
    for (const disk of [first!, other!]) disk.grow(MORE);
    await bench.drive(target!.open(bench.reactor));
    await bench.drive(manager.failMember(1));
    await bench.drive(manager.removeMember(1));
    target!.fault = ({ op, block }) => (fails && op === OP_WRITE && block > OFFSET ? EIO : OK);
    let grown = false;
    first!.fault = () => {
      if (!grown && manager.array.target?.device === target) {
        grown = true;
        target!.grow(MORE);
      }
      return OK;
    };
    await bench.drive(manager.addMember(target!));
    await bench.settle();
    t.true(grown);
    if (fails) {
      await bench.drive(other!.open(bench.reactor));
      await bench.drive(manager.addMember(other!));
      await bench.settle();
    }
    t.deepEqual(bench.health(), ['ok', 'ok']);
    t.is(manager.array.geometry.blockCount, fails ? before : before + MORE);
    await bench.stop();
  });
}

test('a superblock that a failed flush may have lost is written again at once', async (t) => {
  const bench = new ManagedBench({ level: 'raid0', members: 1, blocks: BEFORE });
  await bench.create();
  const manager = await bench.start();
  const [disk] = bench.disks;
  const before = disk!.bytes.slice(0, SUPERBLOCK_BYTES);
  let isWritten = false;
  disk!.fault = ({ op, block }) => {
    isWritten ||= op === OP_WRITE && block === 0;
    return op === OP_FLUSH && isWritten ? EIO : OK;
  };
  disk!.grow(MORE);
  await bench.drive(bench.sleep(5000));
  t.is(manager.array.geometry.blockCount, BEFORE, 'nobody is told of it');
  t.true(manager.array.hasFailed);
  const content = disk!.bytes.slice();

  // The next program reads it from the cache of the disk.
  const after = new RamDevice(disk!.name, {
    blockCount: OFFSET + BEFORE + MORE,
    blockBytes: BLOCK,
    bytes: content,
  });
  const again = new ManagedBench({ level: 'raid0', members: 1, blocks: BEFORE }, [after]);
  const grown = await again.start();
  t.is(grown.array.geometry.blockCount, BEFORE + MORE);
  const changes = after.log.filter(({ op }) => op !== OP_READ);
  t.deepEqual(
    changes.slice(0, 2).map(({ op, block }) => [op, block]),
    [
      [OP_WRITE, 0],
      [OP_FLUSH, 0],
    ],
  );
  t.notDeepEqual(after.bytes.slice(0, SUPERBLOCK_BYTES), before);
  await again.stop();

  // A label goes with it now, and says that it is durable.
  after.log.length = 0;
  await again.start();
  t.false(after.log.some(({ op, block }) => op === OP_WRITE && block === 0));
  await again.stop();
});
