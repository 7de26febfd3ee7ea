/**
 * Devices that do not answer, as a file with a deadline tells of them: what would change something
 * is given back when whoever observes the device does without it.
 */

import test from 'ava';
import { type BlockIo, OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO, ETIMEDOUT, OK } from '../../src/block/status.ts';
import { BLOCK, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';

/** Lets a disk keep what `keeps` says; gives what its deadline does when it has passed. */
function hang(bench: ManagedBench, disk: RamDevice, keeps: (io: BlockIo) => boolean): () => void {
  const kept: BlockIo[] = [];
  const submit = disk.submit.bind(disk);
  disk.submit = (io) => {
    if (!keeps(io)) return submit(io);
    disk.inFlight += 1;
    kept.push(io);
  };
  return () => {
    if (disk.observer?.deviceOverdue(disk) !== true) return;
    for (const io of kept.splice(0)) {
      bench.reactor.finish(io, ETIMEDOUT);
      disk.letGo();
    }
  };
}

/** What comes of an operation within a virtual second; -1: nothing. */
async function soon(bench: ManagedBench, status: Promise<number>): Promise<number> {
  const never = bench.sleep(1_000_000).then(() => -1);
  return await bench.drive(Promise.race([status, never]));
}

const isData = ({ op, block }: BlockIo): boolean => op === OP_WRITE && block >= OFFSET;

test('what a target keeps that was given up for an error is given back', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  const target = bench.disks[2]!;
  manager.setRate(BLOCK);
  await bench.drive(manager.failMember(1));
  const deadline = hang(bench, target, (io) => isData(io) && io.block === OFFSET + 100);
  const kept = bench.write(100, new Uint8Array(BLOCK));
  await bench.drive(bench.sleep(100));
  target.fault = (io) => (isData(io) ? EIO : OK);
  t.is(await bench.drive(bench.write(50, new Uint8Array(BLOCK))), OK);
  t.is(manager.array.target, null);
  await bench.drive(bench.sleep(100));
  deadline();
  t.is(await soon(bench, kept), OK);
  await bench.stop();
});

test('what a member keeps that was failed and removed is given back', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  const deadline = hang(bench, bench.disks[1]!, isData);
  const kept = bench.write(100, new Uint8Array(BLOCK));
  await bench.drive(bench.sleep(100));
  await bench.drive(manager.failMember(1));
  const removed = manager.removeMember(1);
  await bench.drive(bench.sleep(100));
  deadline();
  t.is(await soon(bench, kept), OK);
  await bench.drive(removed);
  await bench.stop();
});

test('what a member keeps that was replaced is given back', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, blanks: 1 });
  await bench.create();
  const manager = await bench.start(bench.disks.slice(0, 2));
  await bench.settle();
  const [old, , fresh] = bench.disks as RamDevice[];
  await bench.drive(fresh!.open(bench.reactor));
  let keeps = false;
  const deadline = hang(bench, old!, ({ op }) => keeps && op === OP_FLUSH);
  let flushing: Promise<number> | null = null;
  fresh!.fault = ({ op }) => {
    // The last flush before it comes into service.
    const ends = manager.superblock!.members[0]!.uuid === manager.array.target?.uuid;
    if (op !== OP_FLUSH || !ends || flushing !== null) return OK;
    keeps = true;
    flushing = submitStatus(manager.array, OP_FLUSH, 0, 0, 0);
    keeps = false;
    return OK;
  };
  await bench.drive(manager.replaceMember(0, fresh!));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  t.not(flushing, null);
  deadline();
  t.is(await soon(bench, flushing!), OK);
  await bench.stop();
});

test('a loss is recorded although a device that is being added does not answer', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, blanks: 1 });
  await bench.create();
  const manager = await bench.start(bench.disks.slice(0, 3));
  await bench.settle();
  const [, fails, , blank] = bench.disks as RamDevice[];
  await bench.drive(blank!.open(bench.reactor));
  const deadline = hang(bench, blank!, ({ op }) => op === OP_WRITE);
  const adding = manager.addMember(blank!);
  adding.catch(() => {});
  await bench.drive(bench.sleep(100));
  fails!.fault = (io) => (isData(io) ? EIO : OK);
  const writing = bench.write(0, new Uint8Array(BLOCK));
  await bench.drive(bench.sleep(100));
  deadline();
  t.is(await soon(bench, writing), OK);
  await t.throwsAsync(bench.drive(adding), { code: 'BANDSTAND_DEVICE_IO' });
  await blank!.close();
  await bench.stop();
});
