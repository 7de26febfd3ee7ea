/** Spares that are not there at the start, with real processes: told, kept, forgotten if asked. */

import { readFileSync, renameSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { DISK_BYTES, StackWorld } from '../_helpers/running-stack.ts';

class SpareWorld extends StackWorld {
  readonly spare = this.file('spare.img', DISK_BYTES);

  async create(): Promise<void> {
    const disks = this.files(2, DISK_BYTES);
    await this.ok('create', 'tank', '--raid', 'raid1', '--spare', this.spare, ...disks);
  }

  takeAway(): void {
    renameSync(this.spare, `${this.spare}.away`);
  }

  bringBack(): void {
    renameSync(`${this.spare}.away`, this.spare);
  }

  async spares(): Promise<[device: string, health: string][]> {
    const { stdout } = await this.ok('status', 'tank', '--json');
    const { spares } = JSON.parse(stdout).data.array;
    return spares.map((one: { device: string; health: string }) => [one.device, one.health]);
  }

  get remembered(): string[] {
    const { spares } = JSON.parse(readFileSync(this.path('state/tank.json'), 'utf8'));
    return spares.map(({ path }: { path: string }) => path);
  }
}

async function started(t: ExecutionContext, ...words: string[]): Promise<[SpareWorld, string]> {
  const world = new SpareWorld(t);
  await world.create();
  world.takeAway();
  const { stderr } = await world.ok('export', 'tank', '--via', 'nbd', ...words);
  // Noted for the end of the test, and exported already.
  await world.export('tank', ...words);
  return [world, stderr];
}

test.serial('a spare that is missing is told, and is one again when it comes back', async (t) => {
  const [world, stderr] = await started(t);
  const why = `the spare ${world.spare} is missing: cannot open ${world.spare}: it does not exist`;
  t.true(stderr.startsWith(`tank: ${why}`), stderr);
  t.true((await world.ok('events', 'tank')).stdout.includes(` W ${why}`));
  t.deepEqual(await world.spares(), [[world.spare, 'missing']]);
  t.deepEqual(world.remembered, [world.spare]);
  await world.ok('stop', 'tank');
  t.deepEqual(await world.spares(), [[world.spare, 'missing']]);
  world.bringBack();
  await world.export('tank');
  t.deepEqual(await world.spares(), [[world.spare, 'spare']]);
  await world.ok('stop', 'tank');
});

test.serial('a spare that was missing is added while the stack runs', async (t) => {
  const [world] = await started(t);
  world.bringBack();
  const { stdout } = await world.ok('member', 'add', 'tank', world.spare);
  t.is(stdout, `added ${world.spare} as a spare\n`);
  t.deepEqual(await world.spares(), [[world.spare, 'spare']]);
  await world.ok('member', 'remove', 'tank', world.spare);
  t.deepEqual(await world.spares(), []);
  t.deepEqual(world.remembered, []);
  await world.ok('stop', 'tank');
});

test.serial('a spare that will not come back is forgotten when that is asked for', async (t) => {
  const [world] = await started(t);
  const { stdout } = await world.ok('member', 'remove', 'tank', world.spare);
  t.is(stdout, `forgot the spare ${world.spare} of tank, which is not here\n`);
  t.deepEqual(await world.spares(), []);
  t.deepEqual(world.remembered, []);
  await world.ok('stop', 'tank');
  t.is((await world.ok('export', 'tank', '--via', 'nbd')).stderr, '');
  await world.export('tank');
  await world.ok('stop', 'tank');
});

test.serial('a read-only stack keeps its spares in mind and does nothing with them', async (t) => {
  const world = new SpareWorld(t);
  await world.create();
  await world.export('tank', '--read-only');
  t.deepEqual(await world.spares(), [[world.spare, 'spare']]);
  await world.ok('stop', 'tank');
  t.deepEqual(world.remembered, [world.spare]);
});
