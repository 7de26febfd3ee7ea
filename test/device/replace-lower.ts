/**
 * A meter that is put over another device while it is in use, as when an NV cache is attached.
 */

import test from 'ava';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { MeterDevice } from '../../src/device/meter-device.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const BLOCKS = 64;

async function bench() {
  const reactor = new SimulatedReactor({ seed: 3 });
  const make = (name: string) => new RamDevice(name, { blockCount: BLOCKS, delayUsMax: 500 });
  const [one, other] = [make('one'), make('other')];
  const meter = new MeterDevice(one, true);
  await reactor.drive(meter.open(reactor));
  await reactor.drive(other.open(reactor));
  return { reactor, one, other, meter };
}

test('operations wait for the change, which begins when none is in flight', async (t) => {
  const { reactor, one, other, meter } = await bench();
  const before = Array.from({ length: 20 }, (_, block) =>
    submitStatus(meter, OP_WRITE, block, 1, 0),
  );
  let atWork = -1;
  let during: Promise<number>[] = [];
  const change = meter.replaceLower(async (lower) => {
    t.is(lower, one as BlockDevice);
    atWork = one.inFlight;
    during = Array.from({ length: 5 }, (_, block) => submitStatus(meter, OP_READ, block, 1, 0));
    return other;
  });
  await reactor.drive(change);
  t.is(atWork, 0);
  t.deepEqual(await reactor.drive(Promise.all(before)), new Array(20).fill(OK));
  t.deepEqual(await reactor.drive(Promise.all(during)), new Array(5).fill(OK));
  t.is(one.log.length, 20);
  t.is(other.log.length, 5);
  t.is(meter.lower, other as BlockDevice);
  t.is(one.observer, null);
  t.is(meter.meter(OP_READ).ios, 5);
  await reactor.drive(meter.close());
  t.is(other.closes, 1);
  t.is(one.closes, 0, 'whoever took its place closes it');
});

test('when the change fails, everything goes on as before', async (t) => {
  const { reactor, one, other, meter } = await bench();
  const change = meter.replaceLower(async () => {
    throw new Error('no');
  });
  const waiting = submitStatus(meter, OP_READ, 0, 1, 0);
  await t.throwsAsync(reactor.drive(change), { message: 'no' });
  t.is(await reactor.drive(waiting), OK);
  t.is(one.log.length, 1);
  t.is(other.log.length, 0);
  await reactor.drive(meter.close());
});

test('a device beside the lower one that fails is told of as itself', async (t) => {
  const { reactor, one, other, meter } = await bench();
  const told: BlockDevice[] = [];
  meter.observer = {
    deviceFailed: (device) => told.push(device),
    deviceResized: () => {},
    deviceOverdue: () => false,
  };
  one.observer!.deviceFailed(one, EIO);
  one.observer!.deviceFailed(other, EIO);
  t.deepEqual(told, [meter, other]);
  await reactor.drive(meter.close());
});

test('flushes are asked for whatever it is over, where that may change', async (t) => {
  const { reactor, meter, one } = await bench();
  t.false(one.geometry.volatileCache);
  t.true(meter.geometry.volatileCache);
  await reactor.drive(meter.close());
});
