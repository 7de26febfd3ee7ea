import test from 'ava';
import { NO_VICTIM, Victims } from '../../src/ftl/victims.ts';

const BAND_BLOCKS = 1000;

/** Bands closed at the given sequence numbers, with so many valid blocks. */
function closedBands(...bands: readonly (readonly [valid: number, closedAt: number])[]) {
  const valid = Uint32Array.from(bands, ([count]) => count);
  const victims = new Victims(valid, BAND_BLOCKS);
  bands.forEach(([, at], band) => {
    victims.closed(band, at);
  });
  return { victims, valid };
}

test('of two bands of one age the one with fewer valid blocks is chosen', (t) => {
  t.is(closedBands([500, 10], [499, 10], [900, 10]).victims.choose(5000), 1);
});

test('of two bands with as many valid blocks the older one is chosen', (t) => {
  t.is(closedBands([500, 20], [500, 10], [500, 30]).victims.choose(5000), 1);
});

test('an old band goes before a young one that is a little emptier, and not before one that is empty', (t) => {
  t.is(closedBands([400, 9000], [600, 1000]).victims.choose(10_000), 1);
  t.is(closedBands([10, 9000], [600, 1000]).victims.choose(10_000), 0);
});

test('the score is ((1 - u) / (u * -ln u) - 1) * age', (t) => {
  const score = (u: number, age: number) => ((1 - u) / (u * -Math.log(u)) - 1) * age;
  let state = 7;
  const random = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % limit;
  };
  for (let round = 0; round < 2000; round += 1) {
    const [a, b] = [0, 1].map(() => [1 + random(999), random(9000)] as const);
    const [scoreA, scoreB] = [a!, b!].map(([valid, at]) => score(valid / 1000, 10_001 - at));
    // Shares are rounded to 1/4096: near ties are not judged.
    if (Math.abs(scoreA! / scoreB! - 1) < 0.2) continue;
    t.is(closedBands(a!, b!).victims.choose(10_000), scoreA! > scoreB! ? 0 : 1);
  }
});

test('a band without valid blocks is chosen before all others', (t) => {
  t.is(closedBands([1, 0], [0, 9999], [2, 0]).victims.choose(10_000), 1);
});

test('a band that is fully valid is never chosen, one that lacks a block is', (t) => {
  for (const bandBlocks of [1, 3, 1000, 4095, 262_144]) {
    const valid = Uint32Array.of(bandBlocks, bandBlocks);
    const victims = new Victims(valid, bandBlocks);
    victims.closed(0, 0);
    victims.closed(1, 0);
    t.is(victims.choose(2 ** 50), NO_VICTIM);
    valid[1]! -= 1;
    t.is(victims.choose(2 ** 50), 1);
  }
});

test('only closed bands are chosen', (t) => {
  const { victims, valid } = closedBands([100, 5], [200, 5]);
  t.is(victims.closedCount, 2);
  t.is(victims.choose(10), 0);
  victims.taken(0);
  t.is(victims.closedCount, 1);
  t.is(victims.choose(10), 1);
  victims.taken(1);
  t.is(victims.choose(10), NO_VICTIM);
  valid[0] = 50;
  victims.closed(0, 11);
  t.is(victims.choose(12), 0);
  t.is(new Victims(new Uint32Array(4), BAND_BLOCKS).choose(10), NO_VICTIM);
});

test('a band that claims to be from the future can be reclaimed, too', (t) => {
  t.is(closedBands([500, 2 ** 40]).victims.choose(10), 0);
});

test('a band is closed once and taken once', (t) => {
  const { victims } = closedBands([100, 5]);
  t.throws(() => victims.closed(0, 6), { message: /closed once/ });
  victims.taken(0);
  t.throws(() => victims.taken(0), { message: /while it is closed/ });
});
