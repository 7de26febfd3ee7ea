/**
 * What a start writes again is what is there. A unit may have been flushed without any header that
 * says so: a start that is cut while it writes such a unit again takes nothing away from it.
 */

import test, { type ExecutionContext } from 'ava';
import { OP_READ, OP_TRIM, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { FtlArrayBench } from '../_helpers/ftl-array-bench.ts';
import { BLOCK } from '../_helpers/ftl-bench.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const BLOCKS = 42;
const TRIMMED = 3;
/** Blocks of a unit on each member. */
const STRIP = 4;

/**
 * A killed device over raid5f. The last unit that it has flushed has a trim in it and no data, and
 * its padding is what a full unit had left in that part of the write buffer.
 */
async function killed(t: ExecutionContext): Promise<FtlArrayBench> {
  const bench = await FtlArrayBench.make('raid5f');
  const ftl = await bench.open({ slotCount: 6 });
  const { reactor } = bench;
  const at = reactor.arena.allocate(BLOCKS * BLOCK);
  for (let block = 0; block < BLOCKS; block += 1) {
    reactor.arena.u8.fill(block + 1, at + block * BLOCK, at + (block + 1) * BLOCK);
  }
  t.is(await reactor.drive(submitStatus(ftl, OP_WRITE, 0, BLOCKS, at)), OK);
  t.is(await bench.flush(), OK);
  t.is(await reactor.drive(submitStatus(ftl, OP_TRIM, TRIMMED, 1, 0)), OK);
  t.is(await bench.flush(), OK);
  reactor.arena.release(at, BLOCKS * BLOCK);
  bench.kill();
  return bench;
}

function contents(bench: FtlArrayBench): Uint8Array[] {
  return bench.disks.map(({ bytes }) => bytes.slice());
}

async function holdsAll(t: ExecutionContext, bench: FtlArrayBench, when: string): Promise<void> {
  for (let block = 0; block < BLOCKS; block += 1) {
    t.is(await bench.read(block), block === TRIMMED ? 0 : block + 1, `block ${block}, ${when}`);
  }
}

/** Block of each member at which the bands begin. */
function bandsOf({ geometry }: FtlArrayBench): number {
  return geometry.firstBandUnit * STRIP;
}

/** First block on each member of the last unit that was written. */
function lastUnit(bench: FtlArrayBench): number {
  const { log } = bench.disks[0]!;
  return log.findLast(({ op, block }) => op === OP_WRITE && block >= bandsOf(bench))!.block;
}

/** True when the unit was written since the device was opened. */
function isWrittenAgain({ disks }: FtlArrayBench, unit: number): boolean {
  return disks.every(({ log }) => log.some(({ op, block }) => op === OP_WRITE && block === unit));
}

function forget({ disks }: FtlArrayBench): void {
  for (const { log } of disks) log.length = 0;
}

test('a flushed unit is whole without any member while a start writes it again', async (t) => {
  const bench = await killed(t);
  const unit = lastUnit(bench);
  const before = contents(bench);
  const bands = bandsOf(bench) * BLOCK;
  forget(bench);
  await bench.open();
  t.true(isWrittenAgain(bench, unit));
  const after = contents(bench);
  await bench.close();
  for (const lost of [0, 1, 2]) {
    for (const newer of [0, 1, 2].filter((slot) => slot !== lost)) {
      // Of what that start has written into bands, this member alone has got something.
      for (const [slot, disk] of bench.disks.entries()) disk.bytes.set(before[slot]!);
      bench.disks[newer]!.bytes.set(after[newer]!.subarray(bands), bands);
      bench.lostSlots.clear();
      bench.lostSlots.add(lost);
      await bench.open();
      await holdsAll(t, bench, `member ${lost} is lost, member ${newer} is newer`);
      await bench.close();
    }
  }
});

test('padding that cannot be read keeps no device from starting, and is zeroes then', async (t) => {
  const bench = await killed(t);
  const unit = lastUnit(bench);
  const before = contents(bench);
  // The first chunk begins with the summary; the second one is padding, and goes with the parity.
  const summary = bench.member(2 * unit).slot;
  const padding = bench.member(2 * unit + STRIP).slot;
  for (const [slot, disk] of bench.disks.entries()) {
    const isBroken = slot !== summary;
    disk.fault = ({ op, block }) => (isBroken && op === OP_READ && block === unit ? EIO : OK);
  }
  forget(bench);
  await bench.open();
  t.true(isWrittenAgain(bench, unit));
  await holdsAll(t, bench, 'with padding that cannot be read');
  await bench.close();
  const expected = before[padding]!.slice(unit * BLOCK, (unit + STRIP) * BLOCK);
  t.false(expected.subarray(0, BLOCK).every((byte) => byte === 0));
  expected.fill(0, 0, BLOCK);
  const now = bench.disks[padding]!.bytes.subarray(unit * BLOCK, (unit + STRIP) * BLOCK);
  sameBytes(t, now, expected, 'the padding');
});
