import test from 'ava';
import { type HistoryOptions, NvHistory } from '../_helpers/nv-history.ts';
import { Random } from '../_sim/random.ts';

const HISTORIES = Number(process.env['BANDSTAND_HISTORIES'] ?? 50);
const SEED = Number(process.env['BANDSTAND_SEED'] ?? 1);

function optionsOf(seed: number): HistoryOptions {
  const random = new Random(seed);
  const blocksMax = random.pick([1, 8, 24, 140]);
  return {
    seed,
    lives: random.between(2, 4),
    operations: random.between(20, 90),
    depth: blocksMax > 24 ? random.pick([1, 4]) : random.pick([1, 2, 8, 24]),
    blockCount: blocksMax > 24 ? 300 : random.pick([24, 96, 300]),
    cacheBlocks: 514 + random.below(40),
    volatileCache: random.chance(0.8),
    nativeFua: random.chance(0.5),
    blocksMax,
    highMark: random.pick([0, 0.05, 0.5]),
    flushes: random.pick([3, 12]),
    unitBlocks: random.pick([1, 16, 100, 10_000]),
  };
}

test.serial('random lives with power cuts and kills keep what was promised', async (t) => {
  let crashes = 0;
  let drained = 0;
  for (let index = 0; index < HISTORIES; index += 1) {
    const seed = SEED + index;
    const result = await NvHistory.run(optionsOf(seed));
    crashes += result.crashes;
    drained += result.drainedBlocks;
    if (result.violations.length > 0) {
      t.fail(`BANDSTAND_SEED=${seed}: ${result.violations.slice(0, 5).join('; ')}`);
      return;
    }
  }
  t.log(`${HISTORIES} histories, ${crashes} crashes, ${drained} blocks drained`);
  t.true(crashes > HISTORIES && drained > 0);
});

/** A life of its own for each place at which it ends; the ring wraps, and is drained throughout. */
const SWEPT: HistoryOptions = {
  seed: 77,
  lives: 1,
  operations: 130,
  depth: 4,
  blockCount: 60,
  cacheBlocks: 514,
  volatileCache: true,
  nativeFua: false,
  blocksMax: 24,
  unitBlocks: 16,
  highMark: 0.05,
  flushes: 8,
};

test.serial('whichever operation is the last one before a crash, nothing is lost', async (t) => {
  const whole = await NvHistory.run({ ...SWEPT, crashAt: [Number.POSITIVE_INFINITY] });
  t.true(whole.drainedBlocks > 0 && whole.wraps > 0);
  const most = whole.deviceOperations;
  const step = Number(process.env['BANDSTAND_SWEEP_STEP'] ?? Math.ceil(most / 30));
  for (let crashAt = 1; crashAt < most; crashAt += step) {
    const { violations } = await NvHistory.run({ ...SWEPT, crashAt: [crashAt] });
    t.deepEqual(violations, [], `a crash at operation ${crashAt}`);
  }
});
