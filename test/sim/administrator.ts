/**
 * The simulated administrator: what it asks for happens, and what it judges is wrong when it is.
 */

import test from 'ava';
import { isDrill } from '../_sim/drill.ts';
import { generate } from '../_sim/generator.ts';
import { SimMedium } from '../_sim/medium.ts';
import { countMismatches } from '../_sim/member-check.ts';
import { play, type SubjectKind } from '../_sim/player.ts';
import { configOf } from '../_sim/scenario.ts';
import type { Config, Step } from '../_sim/step.ts';
import type { SubjectAdmin } from '../_sim/subject.ts';
import { MANAGED } from '../_sim/subjects.ts';
import { simArray } from '../_sim/template.ts';

const MIRROR = configOf({ level: 'raid1', members: 3, trim: 'none' }, { dataBlocks: [32, 32, 32] });
const PARITY = configOf({ level: 'raid5f', members: 3 }, { dataBlocks: [32, 32, 32] });

/** Plays steps; gives what contradicts the model, and what the trace says. */
async function played(steps: readonly Step[], config: Config, subject: SubjectKind = MANAGED) {
  const history = { seed: 5, config, steps };
  const { violation, lines } = await play(history, { subject, verbose: true });
  return { violation, said: lines.join('\n') };
}

/** An administrator's requests, some of them otherwise than they should be. */
function withAdmin(changes: (admin: SubjectAdmin) => Partial<SubjectAdmin>): SubjectKind {
  return {
    ...MANAGED,
    factory: (reactor, disks, array) => {
      const subject = MANAGED.factory(reactor, disks, array);
      const wrong = changes(subject.admin!);
      const admin = new Proxy(subject.admin!, {
        get: (target, name) => Reflect.get(Reflect.has(wrong, name) ? wrong : target, name),
      });
      return new Proxy(subject, {
        get: (target, name) => {
          if (name === 'admin') return admin;
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    },
  };
}

const write = (block: number, count: number): Step => ({ do: 'write', block, count, fua: false });
const member = (what: 'add' | 'fail' | 'remove' | 'replace', slot: number): Step => ({
  do: 'member',
  what,
  slot,
  disk: 0,
});
const CHECK: Step = { do: 'check', repair: false, alone: true };
const CORRUPT: Step = { do: 'corrupt', slot: 0, block: 5 };

test('members are failed, removed and returned, and a spare takes a place', async (t) => {
  const steps = [
    write(0, 8),
    member('fail', 1),
    member('remove', 1),
    member('add', 1),
    write(0, 8),
  ];
  const returned = await played([...steps, CHECK], MIRROR);
  t.is(returned.violation, null);
  t.regex(returned.said, /fail slot 1: done.*remove slot 1: done.*add \/dev\/sim1: done/s);
  const spare = await played([member('add', 0), ...steps.slice(0, 2)], { ...MIRROR, spares: 1 });
  t.is(spare.violation, null);
  t.regex(spare.said, /slot 1 has \/dev\/sim3 now/);
  const replaced = await played([CHECK, write(0, 8), member('replace', 2)], {
    ...PARITY,
    spares: 1,
  });
  t.is(replaced.violation, null);
  t.regex(replaced.said, /slot 2 has \/dev\/sim3 now/);
});

test('a member that a spare has replaced takes the place of the next one lost', async (t) => {
  const config = { ...MIRROR, spares: 1 };
  const taken = [member('add', 0), CHECK, member('fail', 1), member('remove', 1)];
  const steps: Step[] = [...taken, { do: 'unplug', disk: 0, power: true }, member('add', 1)];
  const { violation, said } = await played(steps, config);
  t.is(violation, null);
  t.regex(said, /slot 0 has \/dev\/sim1 now/);
});

test('a request that cannot be granted is refused', async (t) => {
  const steps = [CHECK, member('remove', 0), member('fail', 0), member('fail', 1), CHECK];
  const { violation, said } = await played(steps, PARITY);
  t.is(violation, null);
  t.regex(said, /remove slot 0: .*in service.*fail slot 0: done.*fail slot 1: .*cannot/s);
  const lax = withAdmin(() => ({ removeMember: async () => {} }));
  t.regex((await played(steps, PARITY, lax)).violation!, /expected BANDSTAND_MEMBER_IN_SERVICE/);
});

for (const [name, config] of Object.entries({ mirror: MIRROR, parity: PARITY })) {
  test(`a block of a ${name} that changes by itself is put right, or it shows`, async (t) => {
    const steps = [write(0, 16), CORRUPT, CHECK];
    const { violation, said } = await played(steps, config);
    t.is(violation, null);
    t.regex(said, /block 5 of its data has changed by itself/);
    const blind = withAdmin((admin) => ({ startCheck: () => admin.startCheck(false) }));
    t.regex((await played(steps, config, blind)).violation!, /with repair 1 blocks disagree/);
    const silent = withAdmin(() => ({ mismatches: 0 }));
    t.regex((await played(steps, config, silent)).violation!, /found 0 .*there are 1/s);
  });
}

test('mismatches are counted past the code under test', (t) => {
  const array = simArray(MIRROR);
  const media = MIRROR.dataBlocks.map(
    (blocks, index) =>
      new SimMedium({
        name: `disk ${index}`,
        blockBytes: 512,
        blockCount: array.dataOffset + blocks,
        unitBytes: 512,
        volatileCache: true,
        features: 0,
      }),
  );
  const count = (inService: boolean[]): number => countMismatches(array, media, inService, 32);
  t.is(count([true, true, true]), 0);
  media[2]!.corrupt(array.dataOffset * 512, 512);
  media[1]!.corrupt((array.dataOffset + 31) * 512, 512);
  t.is(count([true, true, true]), 2);
  t.is(count([true, true, false]), 1);
  t.is(countMismatches(simArray(PARITY), media, [true, true, true], 64), 2);
});

test('random histories ask for all of it, and mostly for something else', (t) => {
  const counts = new Map<string, number>();
  let steps = 0;
  for (let seed = 1; seed <= 500; seed += 1) {
    if (isDrill(seed)) continue;
    for (const step of generate(seed, MANAGED.promises).steps) {
      const name = step.do === 'member' || step.do === 'process' ? step.what : step.do;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      steps += 1;
    }
  }
  const requests = 'add fail remove replace pause resume cancel check corrupt'.split(' ');
  for (const name of requests) t.true((counts.get(name) ?? 0) > 20, name);
  const asked = requests.reduce((sum, name) => sum + counts.get(name)!, 0);
  t.true(asked < steps / 8, `${asked} of ${steps} steps are requests`);
});
