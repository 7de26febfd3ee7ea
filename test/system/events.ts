/** Events of a real server: kept, followed by a real process, logged, and over with the server. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PROGRAM } from '../_helpers/repository.ts';
import { DISK_BYTES, eventually, StackWorld } from '../_helpers/running-stack.ts';

test.serial(
  'what happens is kept, followed and logged; the end of the server is the end',
  async (t) => {
    const world = new StackWorld(t);
    await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
    const uri = await world.export('tank');
    const { stdout } = await world.ok('events', 'tank');
    t.regex(stdout, /^\d\d:\d\d:\d\d I resync of everything started\n/);
    t.regex(stdout, /\d\d:\d\d:\d\d I started, healthy\n/);
    t.regex(stdout, /\d\d:\d\d:\d\d I exported as /);
    const words = [PROGRAM, 'events', '--follow', '--json', ...world.directories];
    const follower = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let lines = '';
    let notes = '';
    follower.stdout.setEncoding('utf8').on('data', (text: string) => (lines += text));
    follower.stderr.setEncoding('utf8').on('data', (text: string) => (notes += text));
    const ended = new Promise((resolve) => follower.once('close', resolve));
    await eventually('the kept events arrive', () => lines.includes('"exported"'));
    await world.ok('unexport', 'tank');
    await eventually('the next event arrives', () => lines.includes('"export-removed"'));
    await world.ok('stop', 'tank');
    t.is(await ended, 0, notes);
    t.is(notes, 'tank: its server has ended\n');
    const events = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.deepEqual(
      events.map(({ schema, data }) => [schema, data.sequence, data.stack]),
      events.map((_, index) => ['bandstand.event/1', index + 1, 'tank']),
    );
    // The first resync goes on beside all that.
    const kinds = events.map(({ data }) => data.kind).filter((kind) => !kind.startsWith('resync-'));
    t.deepEqual(kinds, ['stack-started', 'exported', 'export-removed', 'stack-stopped']);
    const exported = events.find(({ data }) => data.kind === 'exported');
    t.is(exported.data.message, `exported as ${uri}`);
    const log = readFileSync(world.path('run/tank.log'), 'utf8');
    for (const { data } of events) {
      t.true(log.includes(`"kind":"${data.kind}"`), data.kind);
      t.true(log.includes(`"msg":"${data.message}"`), data.message);
    }
  },
);

test.serial('wait sees a server end, and a stack that is idle', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  t.is((await world.ok('wait', 'tank', '--progress=2')).stderr, '100/100\n');
  t.is(
    (await world.ok('wait', 'tank', '--for', 'rebuild')).stdout,
    'tank: no rebuild is running\n',
  );
  await world.ok('stop', 'tank');
  const stopped = await world.spawn('wait', 'tank');
  t.is(stopped.status, 1);
  t.regex(stopped.stderr, /^bandstand: cannot wait until tank is idle: it is not running\n/);
});

test.serial('a server starts beside the spares that it remembers', async (t) => {
  const world = new StackWorld(t);
  const [a, b, spare] = world.files(3, DISK_BYTES) as [string, string, string];
  await world.ok('create', 'tank', '--raid', 'raid1', '--spare', spare, a, b);
  await world.export('tank');
  const status = JSON.parse((await world.ok('status', 'tank', '--json')).stdout).data;
  t.is(status.health, 'healthy');
  t.is(status.array.spares.length, 1);
  t.like(status.array.spares[0], { slot: null, device: spare, health: 'spare' });
  await world.ok('stop', 'tank');
  const remembered = JSON.parse(readFileSync(world.path('state/tank.json'), 'utf8'));
  t.is(remembered.spares[0].path, spare);
});
