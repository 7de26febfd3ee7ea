/**
 * Power cuts with more outcomes than can be enumerated: which of them are tried instead.
 */

import test from 'ava';
import { SimWrite } from '../_sim/medium.ts';
import { play, playUntilCut } from '../_sim/player.ts';
import { Random } from '../_sim/random.ts';
import { configOf, Script } from '../_sim/scenario.ts';
import { PLAIN } from '../_sim/subjects.ts';
import { drawKept, PARTS_MAX, type Part, SAMPLES, trySubsets } from '../_sim/subsets.ts';

const DISKS = 3;

/** So many parts on three disks, in the order of `partsOf`. */
function partsOn(count: number): Part[] {
  return Array.from({ length: count }, (_, index) => ({
    disk: Math.floor((index * DISKS) / count),
    write: new SimWrite(index, index, 1, null),
    middle: 0,
    half: 'whole' as const,
  }));
}

test('a sample has nothing, everything, whole disks, points in time, and odd ones out', (t) => {
  const parts = partsOn(24);
  const random = new Random(7);
  const drawn = Array.from({ length: SAMPLES }, (_, number) => drawKept(parts, number, random));
  const sum = (kept: readonly boolean[]): number => kept.filter((one) => one).length;
  const disks = (kept: readonly boolean[]) =>
    Array.from({ length: DISKS }, (_, disk) => kept.filter((_one, at) => parts[at]!.disk === disk));
  t.is(sum(drawn[0]!), 0);
  t.is(sum(drawn[1]!), parts.length);
  const some = (test: (kept: readonly boolean[]) => boolean): boolean => drawn.some(test);
  t.true(some((kept) => sum(kept) === 1));
  t.true(some((kept) => sum(kept) === parts.length - 1));
  const whole = (kept: readonly boolean[]): boolean => kept.every((one) => one === kept[0]);
  const mixed = (kept: readonly boolean[]): boolean => sum(kept) > 0 && sum(kept) < parts.length;
  t.true(some((kept) => mixed(kept) && disks(kept).every(whole)));
  const prefix = (kept: readonly boolean[]): boolean => !kept.join().includes('false,true');
  t.true(some((kept) => disks(kept).every(prefix) && disks(kept).every(mixed)));
  t.true(new Set(drawn.map((kept) => kept.join())).size > SAMPLES / 2);
});

test('a cut with too much open is sampled, the same way each time', async (t) => {
  const config = configOf({ level: 'raid1', members: 2 });
  const { steps } = new Script(config).write(0, 8).write(8, 8).write(16, 8).write(24, 8).drain();
  const history = { seed: 3, config, steps };
  const seen = new Set<string>();
  for (let at = 0; ; at += 1) {
    const result = await trySubsets(history, { subject: PLAIN }, at);
    if (!result.cut) break;
    t.is(result.violation, null);
    t.true(result.outcomes >= 1 && result.outcomes <= result.tried);
    if (result.sampled) t.is(result.tried, SAMPLES);
    else t.true(result.tried >= 1 && result.tried <= 2 ** PARTS_MAX);
    seen.add(result.sampled ? 'drawn' : result.tried === 1 ? 'one' : 'all');
  }
  t.deepEqual([...seen].sort(), ['all', 'drawn', 'one']);
});

test("a history's own power cuts are over before the one whose outcomes are tried", async (t) => {
  const config = configOf({ level: 'raid1', members: 2 });
  const cut = { do: 'crash', how: 'power', ios: 1, loses: null, again: [] } as const;
  const { steps } = new Script(config).write(0, 8).write(8, 8).drain();
  const history = { seed: 3, config, steps: [...steps, cut, ...steps] };
  const calm = await play(history, { subject: PLAIN });
  t.is(calm.crashes, 1);
  // Some were in flight when the power was cut, and are never done.
  let at = calm.ios - 1;
  const cutAt = () => playUntilCut(history, { subject: PLAIN, trigger: { kind: 'power', at } });
  while ((await cutAt()).world === null) at -= 1;
  t.is((await cutAt()).outcome.crashes, 2);
  t.like(await trySubsets(history, { subject: PLAIN }, at), { cut: true, violation: null });
  const beyond = await trySubsets(history, { subject: PLAIN }, calm.ios);
  t.like(beyond, { cut: false, tried: 0, violation: null });
});
