/**
 * One document of every kind that the program prints, from real stacks: each is what its schema
 * says (StackWorld looks), and no schema is without one.
 */

import { readFileSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { schemaName, schemaNames, whyInvalid } from '../_helpers/json-schemas.ts';
import { MetricsListener } from '../_helpers/metrics-listener.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
const CACHE_BYTES = 8 * MIB;

const seen = new Set<string>();

class PrintingWorld extends StackWorld {
  /** Notes the documents; their schemas have been looked at when this has them. */
  async prints(...words: string[]): Promise<string> {
    const { stdout } = await this.ok(...words, '--json');
    for (const line of stdout.trim().split('\n')) seen.add(schemaName(JSON.parse(line).schema));
    return stdout;
  }
}

test.serial('a mirror: created, exported, broken, mended, checked, wiped', async (t) => {
  const world = new PrintingWorld(t);
  const [one, two, three] = world.files(3, DISK_BYTES) as [string, string, string];
  await world.prints('create', 'tank', '--raid', 'raid1', one, two, '--dry-run');
  await world.prints('create', 'tank', '--raid', 'raid1', one, two);
  t.is(whyInvalid(JSON.parse(readFileSync(world.path('state/tank.json'), 'utf8'))), null);
  seen.add('stack-1');
  await world.prints('status');
  await world.export('tank');
  await world.prints('export', 'tank');
  await world.write('tank', noise(MIB, 1));
  await world.prints('wait', 'tank', '--for', 'idle');
  await world.prints('status', 'tank');
  await world.prints('metrics');
  await world.prints('rpc', 'tank', 'status');
  await world.prints('upgrade', 'tank', '--dry-run');
  await world.prints('upgrade', 'tank');
  await world.prints('member', 'fail', 'tank', two, '--dry-run');
  await world.prints('member', 'fail', 'tank', two);
  await world.prints('status', 'tank');
  await world.prints('member', 'remove', 'tank', two);
  await world.prints('member', 'add', 'tank', three);
  await world.prints('wait', 'tank', '--for', 'rebuild');
  await world.prints('rebuild', 'tank', '--rate', '100M');
  await world.prints('rebuild', 'tank');
  await world.prints('check', 'tank');
  await world.prints('wait', 'tank', '--for', 'check');
  await world.prints('events', 'tank');
  await world.prints('list');
  await world.prints('unexport', 'tank');
  await world.prints('stop', 'tank');
  await world.prints('stop', 'tank');
  await world.prints('status', 'tank');
  await world.prints('check', 'tank');
  await world.prints('examine', one, three);
  await world.prints('wipe', one, '--dry-run');
  await world.prints('wipe', one, '--confirm', 'tank');
  await world.prints('examine', one);
  await world.prints('forget', 'tank', '--dry-run');
  await world.prints('forget', 'tank');
});

test.serial('parity, an FTL and a mirrored NV cache, whose server is killed', async (t) => {
  const world = new PrintingWorld(t);
  const disks = world.files(3, DISK_BYTES);
  const ssds = ['ssd0.img', 'ssd1.img'].map((name) => world.file(name, CACHE_BYTES));
  const layout = ['--raid', 'raid5f', '--strip-size', '32K', ...disks];
  await world.prints('create', 'tank', ...layout, '--cache', ssds.join(','));
  await world.export('tank');
  await world.write('tank', noise(MIB, 2));
  await world.prints('status', 'tank');
  await world.prints('metrics', 'tank');
  const listener = await MetricsListener.start(t, world, '--listen', 'tcp:127.0.0.1:0', '--json');
  seen.add(schemaName(JSON.parse(listener.stdout).schema));
  t.is(await listener.end(), 0);
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
  await world.prints('status', 'tank');
  await world.prints('examine', ...disks, ...ssds);
  await world.export('tank');
  await world.prints('status', 'tank');
  await world.prints('wait', 'tank', '--for', 'recovery');
  await world.prints('cache', 'detach', 'tank', '--dry-run');
  await world.prints('cache', 'detach', 'tank');
  const [ssd] = ssds as [string];
  await world.prints('cache', 'attach', 'tank', ssd);
  await world.write('tank', noise(MIB, 3));
  await world.prints('events', 'tank');
  await world.prints('stop', 'tank');
  await world.prints('examine', ssd);
  await world.prints('check', 'tank');
  await world.prints('export', 'tank', '--dry-run');
  await world.prints('export', 'tank', '--discard-cache', '--dry-run');
  await world.export('tank', '--discard-cache', '--yes', '--json');
  await world.ok('stop', 'tank');
  await world.prints('check', 'tank', '--rebuild-map', '--yes');
});

test.serial('what concerns no stack, and what goes wrong', async (t) => {
  const world = new PrintingWorld(t);
  await world.prints('list');
  await world.prints('status');
  await world.prints('features');
  const doctor = await world.spawn('doctor', '--json');
  seen.add(schemaName(JSON.parse(doctor.stdout).schema));
  await world.prints('completion', 'bash');
  await world.prints('bench', 'mem:8M', '--ios', '100');
  for (const [status, ...words] of [
    [1, 'status', 'tank'],
    [1, 'examine', world.path('nothing')],
    [2, 'creat', 'tank'],
    [2, 'create', 'tank', '--raid', 'raid9', 'a'],
  ] as const) {
    const outcome = await world.spawn(...words, '--json');
    t.is(outcome.status, status);
    t.is(outcome.stdout, '');
    t.deepEqual(Object.keys(JSON.parse(outcome.stderr)), ['error'], words.join(' '));
  }
  seen.add('error-1');
});

test.serial('every schema has had its document', (t) => {
  t.deepEqual([...seen].sort(), schemaNames());
});
