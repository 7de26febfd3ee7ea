/** What an NV cache does because its device may be a mirror, whose members come and go. */

import test from 'ava';
import { FEATURE_FUA, type Geometry } from '../../src/block/block-device.ts';
import { FLAG_FUA, OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { readCacheHeader } from '../../src/nv-cache/cache-header-io.ts';
import { BLOCK, NvBench } from '../_helpers/nv-bench.ts';

test('what the device can do is asked each time', async (t) => {
  const bench = await NvBench.make({ cache: { geometry: { volatileCache: false, features: 0 } } });
  await bench.open();
  const { disk } = bench;
  const logged = () => disk.log.splice(0).map(({ op, flags }) => [op, flags]);
  t.is(await bench.write(1, 1, 0x11, FLAG_FUA), 0);
  t.deepEqual(logged(), [[OP_WRITE, 0]]);
  const become = (change: Partial<Geometry>): void => {
    disk.geometry = { ...disk.geometry, ...change };
    disk.observer!.deviceResized(disk);
  };
  // A member that keeps writes in a volatile cache has joined.
  become({ volatileCache: true });
  t.is(await bench.write(2, 1, 0x12, FLAG_FUA), 0);
  t.deepEqual(logged(), [
    [OP_WRITE, 0],
    [OP_FLUSH, 0],
  ]);
  // It has left, and all others have FUA.
  become({ features: FEATURE_FUA });
  t.is(await bench.write(3, 1, 0x13, FLAG_FUA), 0);
  t.deepEqual(logged(), [[OP_WRITE, FLAG_FUA]]);
  await bench.close();
});

test('what a crash has left, perhaps on one half only, is written again to both', async (t) => {
  for (const differs of [false, true]) {
    const bench = await NvBench.make();
    await bench.open();
    for (const block of [1, 2, 3]) await bench.write(block, 1, block);
    bench.kill();
    const written: number[] = [];
    bench.disk.fault = ({ block, op }) => {
      if (op === OP_WRITE) written.push(block);
      return 0;
    };
    // The second record lies where they may differ.
    await bench.open({ mirror: { absent: 0, readsSteadily: (at) => differs && at === 4 } });
    // After it comes the header: what that says has to be true of both.
    t.deepEqual(
      written.map((block) => (block < 2 ? 'header' : block)),
      differs ? [4, 'header'] : ['header'],
    );
    await bench.close();
  }
});

test('what a crash has left on the other half only does not come back with that', async (t) => {
  const bench = await NvBench.killed(2);
  const { disk, reactor } = bench;
  // Of records that were on their way the other half has the last one, and this one has none.
  const [phase, head] = [1, 6];
  const sequence = 2 ** 32 + 5;
  const [seen, other] = [disk.bytes, disk.bytes.slice()];
  disk.bytes = other;
  bench.putRecord({ address: head + 6, sequence, phase, data: [[7, 0x77]] });
  disk.bytes = seen;
  disk.fault = ({ block, blockCount, buffer, op }) => {
    if (op !== OP_WRITE) return 0;
    const at = block * BLOCK;
    other.set(reactor.arena.u8.subarray(buffer, buffer + blockCount * BLOCK), at);
    return 0;
  };
  await bench.open({ mirror: { absent: 0, readsSteadily: () => true } });
  t.is(await bench.write(3, 1, 0x33), 0);
  t.is(await bench.flush(), 0);
  t.deepEqual(await bench.readAll([0, 1, 3, 7]), [1, 2, 0x33, 0]);
  // The half that was read is lost, and then the machine.
  bench.kill();
  disk.bytes = other;
  await bench.open({ mirror: { absent: 1, readsSteadily: () => true } });
  t.deepEqual(await bench.readAll([0, 1, 3, 7]), [1, 2, 0x33, 0]);
  await bench.close();
});

test('what was on a half that is lost before it is on both is not relied on', async (t) => {
  for (const left of [0, 1]) {
    const bench = await NvBench.make();
    await bench.open();
    await bench.write(1, 1, 1);
    bench.kill();
    const mirror = { absent: 1 - left, readsSteadily: () => false };
    bench.disk.fault = ({ block, op }) => {
      // The ring has been read as far as that.
      if (op === OP_READ && block >= 2) mirror.absent = left;
      return 0;
    };
    const opening = bench.open({ mirror });
    if (left === 1) {
      await t.throwsAsync(opening, { message: /half of the mirror was lost while it was read/ });
      // The next start reads what is left from the beginning.
      await bench.open({ mirror });
    } else await opening;
    t.is(await bench.read(1), 1);
    await bench.close();
  }
});

test('a copy that was left behind is old once the epoch was renewed', async (t) => {
  const bench = await NvBench.make();
  const told: number[] = [];
  const epochBegins = (epoch: number): Promise<void> => {
    told.push(epoch);
    return Promise.resolve();
  };
  const { disk, reactor } = bench;
  await bench.open({ epochBegins });
  await bench.write(1, 1, 0x11);
  await bench.flush();
  const copy = disk.bytes.slice();
  // Two at once are two.
  const renewals = [bench.cache.renewEpoch(), bench.cache.renewEpoch()];
  t.deepEqual(await reactor.drive(Promise.all(renewals)), [true, true]);
  t.deepEqual(told, [1, 2, 3]);
  t.is((await reactor.drive(readCacheHeader(reactor, disk))).header.epoch, 3);
  await bench.write(2, 1, 0x12);
  await bench.flush();
  bench.kill();

  const [epoch] = told.slice(-1);
  const whole = disk.bytes;
  disk.bytes = copy;
  t.is((await bench.refusal({ epoch: epoch!, epochBegins })).code, 'BANDSTAND_CACHE_STALE');
  disk.bytes = whole;
  await bench.open({ epoch: epoch!, epochBegins });
  t.deepEqual(await bench.readAll([1, 2]), [0x11, 0x12]);
  t.is(told.at(-1), 4);
  t.is(bench.status.epoch, 4);
  await bench.close();
});

test('a cache is detached when its owner knows of the last epoch, not before', async (t) => {
  const bench = await NvBench.make();
  const told: string[] = [];
  let goOn = (): void => {};
  const epochBegins = async (epoch: number): Promise<void> => {
    if (epoch > 1) {
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    }
    told.push(`epoch ${epoch}`);
  };
  await bench.open({ epochBegins });
  await bench.write(1, 1, 0x11);
  const { cache, reactor } = bench;
  const renewal = cache.renewEpoch();
  const detach = cache.detach().then((isEmpty) => told.push(`detached ${isEmpty}`));
  await bench.rest();
  t.deepEqual(told, ['epoch 1']);
  goOn();
  await reactor.drive(Promise.all([renewal, detach]));
  t.deepEqual(told, ['epoch 1', 'epoch 2', 'detached true']);
  t.is(bench.backing.byteOf(1), 0x11);
  await bench.close();
});

test('what leaves while the header of a start is written is old when that has ended', async (t) => {
  const bench = await NvBench.make();
  const told: number[] = [];
  let renewal: Promise<boolean> | null = null;
  // It has that header already.
  bench.disk.fault = ({ op }) => {
    if (op === OP_WRITE && renewal === null) renewal = bench.opening!.renewEpoch();
    return 0;
  };
  await bench.open({
    epochBegins: (epoch) => {
      told.push(epoch);
      return Promise.resolve();
    },
  });
  t.true(await bench.reactor.drive(renewal!));
  t.deepEqual(told, [1, 2]);
  const { header } = await bench.reactor.drive(readCacheHeader(bench.reactor, bench.disk));
  t.is(header.epoch, 2);
  await bench.close();
});

test('what leaves during a start that fails is told by the next one', async (t) => {
  const bench = await NvBench.make();
  let renewal: Promise<boolean> | null = null;
  bench.disk.fault = ({ op }) => {
    if (op !== OP_WRITE) return 0;
    renewal ??= bench.opening!.renewEpoch();
    return 5;
  };
  t.is((await bench.refusal()).code, 'BANDSTAND_CACHE_READ_ONLY');
  t.false(await bench.reactor.drive(renewal!));
});

test('a cache that is not in use gets no other epoch', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  const told: number[] = [];
  t.true(await bench.reactor.drive(bench.cache.detach()));
  t.false(await bench.reactor.drive(bench.cache.renewEpoch()));
  const closing = bench.cache.close();
  t.false(await bench.reactor.drive(bench.cache.renewEpoch()));
  await bench.reactor.drive(closing);
  t.deepEqual(told, []);
});

test('a header that cannot be written is told, and its epoch to nobody', async (t) => {
  const bench = await NvBench.make();
  const told: number[] = [];
  await bench.open({
    epochBegins: (epoch) => {
      told.push(epoch);
      return Promise.resolve();
    },
  });
  bench.disk.fault = ({ op, block }) => (op === OP_WRITE && block < 2 ? 5 : 0);
  await t.throwsAsync(bench.reactor.drive(bench.cache.renewEpoch()), {
    code: 'BANDSTAND_CACHE_READ_ONLY',
  });
  t.deepEqual(told, [1]);
  await bench.close().catch(() => {});
});

test('a long write with FUA is durable in all of its records when it is answered', async (t) => {
  const bench = await NvBench.make({ cache: { delayUsMax: 50, geometry: { features: 0 } } });
  await bench.open();
  const { disk, reactor } = bench;
  // As many records as may be on their way, but one.
  const writes: Promise<number>[] = [];
  for (let block = 0; block < 7; block += 1) {
    writes.push(bench.begin(block, 1, 1));
    reactor.turn();
  }
  writes.push(bench.begin(100, 200, 2, FLAG_FUA));
  reactor.turn();
  t.is(disk.log.filter(({ op }) => op === OP_WRITE).length, 8);
  // The member without FUA leaves the mirror.
  disk.geometry = { ...disk.geometry, features: FEATURE_FUA };
  disk.observer!.deviceResized(disk);
  t.deepEqual(
    await reactor.drive(Promise.all(writes)),
    writes.map(() => 0),
  );
  const flags = disk.log.slice(7).map((io) => [io.op, io.flags]);
  t.deepEqual(flags, [
    [OP_WRITE, 0],
    [OP_WRITE, FLAG_FUA],
    [OP_FLUSH, 0],
  ]);
  await bench.close();
});
