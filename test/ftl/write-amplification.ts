import test from 'ava';
import type { LoadSpec } from '../../bench/waf-load.ts';
import { measure, type PolicyName, theoreticalWaf, WafModel } from '../../bench/waf-model.ts';

// A small version of `npm run bench:waf`: fewer blocks, a shorter warm-up, the same policy.

const seed = Number(process.env['BANDSTAND_SEED'] ?? 1);
const HOT_90: LoadSpec = { kind: 'hot-cold', hotWrites: 0.9, hotBlocks: 0.1 };

function wafOf(load: LoadSpec, bandBlocks: number, policy: PolicyName = 'bandstand'): number {
  const size = { userBlocks: 131_072, bandBlocks, overProvisioning: 0.2 };
  return measure({ ...size, load, policy, seed, warmUp: 4, measured: 2 });
}

test('theory says 3.19 with 20 % of spare space, as published', (t) => {
  t.is(theoreticalWaf(0.2).toFixed(2), '3.19');
  t.is(theoreticalWaf(0.1).toFixed(2), '5.68');
  t.is(theoreticalWaf(0.28).toFixed(2), '2.48');
});

test('uniform random writes cost what theory says, within 3 %', (t) => {
  const ratio = wafOf({ kind: 'uniform' }, 128) / theoreticalWaf(0.2);
  t.true(ratio > 0.97 && ratio < 1.03, `seed ${seed}: ${ratio}`);
});

for (const [name, load, most] of [
  ['80 % of writes to 20 % of blocks', { kind: 'hot-cold', hotWrites: 0.8, hotBlocks: 0.2 }, 2.6],
  ['90 % of writes to 10 % of blocks', HOT_90, 1.8],
  ['Zipf 1.0', { kind: 'zipf', exponent: 1 }, 2],
  ['Zipf 0.9', { kind: 'zipf', exponent: 0.9 }, 2.3],
] as const) {
  test(`614 bands: ${name} cost at most ${most} writes each`, (t) => {
    const waf = wafOf(load, 256);
    t.true(waf > 1 && waf <= most, `seed ${seed}: ${waf}`);
  });
}

for (const [name, load] of [
  ['uniform', { kind: 'uniform' }],
  ['80/20', { kind: 'hot-cold', hotWrites: 0.8, hotBlocks: 0.2 }],
  ['Zipf 0.9', { kind: 'zipf', exponent: 0.9 }],
] as const) {
  test(`77 bands: ${name} costs at most 5 % more than with the greedy policy`, (t) => {
    const ratio = wafOf(load, 2048) / wafOf(load, 2048, 'greedy');
    t.true(ratio <= 1.05, `seed ${seed}: ${ratio}`);
  });
}

test('writing in sequence, round and round, relocates nothing', (t) => {
  t.is(wafOf({ kind: 'sequential' }, 256), 1);
});

test('hot blocks that move on cost less than with the greedy policy', (t) => {
  const load: LoadSpec = { ...HOT_90, kind: 'moving' };
  const ratio = wafOf(load, 256) / wafOf(load, 256, 'greedy');
  t.true(ratio < 0.75, `seed ${seed}: ${ratio}`);
});

test('files that are written and trimmed cost less than with the greedy policy', (t) => {
  const ratio = wafOf({ kind: 'files' }, 256) / wafOf({ kind: 'files' }, 256, 'greedy');
  t.true(ratio < 0.95, `seed ${seed}: ${ratio}`);
});

test('the same seed gives the same history, another one another', (t) => {
  const run = { userBlocks: 8192, bandBlocks: 32, overProvisioning: 0.2, load: HOT_90 } as const;
  const waf = (other: number) =>
    measure({ ...run, policy: 'bandstand', seed: other, warmUp: 1, measured: 1 });
  t.is(waf(seed), waf(seed));
  t.not(waf(seed), waf(seed + 1));
});

test('the maps of the model agree at every moment', (t) => {
  const geometry = { userBlocks: 1024, bandBlocks: 16, overProvisioning: 0.25 };
  const model = new WafModel(geometry, 'bandstand');
  let state = seed >>> 0;
  for (let step = 0; step < 20_000; step += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const block = Math.floor(state / 2 ** 16) % (step % 3 === 0 ? 1024 : 100);
    if (step % 10 === 9) model.trim(block);
    else model.write(block);
    if (step % 500 === 0) t.is(model.inconsistency(), null, `seed ${seed}, step ${step}`);
  }
  t.true(model.relocations > 0);
});
