/**
 * A repair that a member does not answer, and that lands after the member was given up: its memory
 * has other content by then. What it has hit is copied when the member returns.
 */

import test from 'ava';
import { type BlockIo, OP_WRITE } from '../../src/block/block-io.ts';
import { ETIMEDOUT, OK } from '../../src/block/status.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

for (const [level, members, strip] of [
  ['raid1', 3, 8],
  ['raid5f', 3, 4],
] as const) {
  test(`a repair of ${level} that lands late is undone when its member returns`, async (t) => {
    const bench = new ManagedBench({ level, members, strip });
    await bench.create();
    const unpaced = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };
    const manager = await bench.start(bench.disks, {}, unpaced);
    const { blockCount } = manager.array.geometry;
    const content = new Random(1).bytes(blockCount * BLOCK);
    t.is(await bench.drive(bench.write(0, content)), OK);
    await bench.settle();
    await bench.drive(bench.sleep(20_000));
    // Of the first stripe the last member has the parity, which is what is repaired.
    const hangs = bench.disks[2]!;
    bench.data(hangs)[BLOCK + 3]! ^= 0x40;
    const submit = hangs.submit.bind(hangs);
    let kept: BlockIo | null = null;
    hangs.submit = (io) => {
      if (io.op !== OP_WRITE || io.block < OFFSET || kept !== null) return submit(io);
      kept = io;
      hangs.inFlight += 1;
    };
    await bench.drive(manager.startCheck({ repair: true }));
    await bench.drive(bench.sleep(1000));
    t.not(kept, null);
    const { block, blockCount: count } = kept!;
    t.true(hangs.observer!.deviceOverdue(hangs));
    bench.reactor.finish(kept!, ETIMEDOUT);
    await bench.settle();
    hangs.bytes.fill(0xdb, block * BLOCK, (block + count) * BLOCK);
    hangs.letGo();
    await bench.drive(manager.removeMember(2));
    hangs.submit = submit;
    await bench.drive(hangs.open(bench.reactor));
    const added = await bench.drive(manager.addMember(hangs));
    t.is(added.mode, 'delta');
    await bench.settle();
    if (level === 'raid1') sameBytes(t, bench.data(hangs), content);
    await bench.drive(manager.failMember(0));
    sameBytes(t, await bench.drive(bench.read(0, blockCount)), content);
    await bench.stop();
  });
}
