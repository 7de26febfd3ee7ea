/** `rpc` against a server that is a fake: what is sent where, what is refused, what is printed. */

import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { PUBLIC_METHODS } from '../../src/cli/commands/rpc.ts';
import { METHODS } from '../../src/control/schema.ts';
import type { MethodHandler } from '../../src/control/server.ts';
import { ACTIVITY, eventOf, FakeStack, MEMBER, statusOf } from '../_helpers/fake-stack.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;
const HINT = `  write an object within quotes, '{"dry_run": true}', or - for standard input\n`;

const answers: MethodHandler = async (method) => {
  if (method === 'status') return statusOf('tank', { reason: 'a\u009bb', action: 'a\u202eb' });
  if (method === 'events') return { events: [eventOf(3)], last: 3, missed: 2 };
  if (method === 'unexport') return { removed: false, addresses: [] };
  if (method === 'stop') return { stopped: true };
  return method === 'rebuild' ? ACTIVITY : MEMBER;
};

test('the result is printed as JSON, in an envelope, or as a record for each value', async (t) => {
  const { world } = await FakeStack.start(t, 'tank', answers);
  const result = { events: [eventOf(3)], last: 3, missed: 2 };
  const text = await world.run('rpc', 'tank', 'events');
  t.is(text.stderr, '');
  t.is(text.stdout, `${JSON.stringify(result, null, 2)}\n`);
  const json = JSON.parse((await world.run('rpc', 'tank', 'events', '--json')).stdout);
  t.deepEqual(json.data, { name: 'tank', method: 'events', result });
  const { stdout } = await world.run('rpc', 'tank', 'events', '--plain');
  t.true(stdout.startsWith('events.0.sequence\t3\nevents.0.time\t2026-11-20T09:14:03.000Z\n'));
  t.true(stdout.includes('events.0.reason\t-\n'));
  t.true(stdout.endsWith('last\t3\nmissed\t2\n'));
});

test('what a terminal could take for more than text is escaped, and stays JSON', async (t) => {
  const { world } = await FakeStack.start(t, 'tank', answers);
  const { stdout } = await world.run('rpc', 'tank', 'status');
  t.true(stdout.includes('"a\\u009bb"') && stdout.includes('"a\\u202eb"'));
  t.is(JSON.parse(stdout).reason, 'a\u009bb');
});

test('params come from the command line, or from standard input', async (t) => {
  const stack = await FakeStack.start(t, 'tank', answers);
  const { world } = stack;
  const params = { action: 'show', of_cache: false };
  t.is((await world.run('rpc', 'tank', 'rebuild', JSON.stringify(params))).status, 0);
  t.is((await world.feed(JSON.stringify(params), 'rpc', 'tank', 'rebuild', '-')).status, 0);
  t.is((await world.feed('', 'rpc', 'tank', 'rebuild')).status, 0);
  t.deepEqual(stack.asked, [
    { method: 'rebuild', params },
    { method: 'rebuild', params },
    { method: 'rebuild', params: {} },
  ]);
});

test('what cannot be sent is told before anything is asked', async (t) => {
  const stack = await FakeStack.start(t, 'tank', answers);
  const { world } = stack;
  const refused = async (words: readonly string[], stderr: string, input = ''): Promise<void> => {
    t.deepEqual(await world.feed(input, 'rpc', 'tank', ...words), {
      status: 2,
      stdout: '',
      stderr: `bandstand: ${stderr}`,
    });
  };
  await refused(['stat'], "cannot call 'stat': there is no such method\n  did you mean status?\n");
  await refused(
    ['constructor'],
    "cannot call 'constructor': there is no such method\n  see bandstand-control(7)\n",
  );
  await refused(
    ['hand-over'],
    'cannot call hand-over: it ends the server of tank, and leaves its clients to the next one\n' +
      '  replace the server: bandstand upgrade tank\n',
  );
  await refused(['stop', '{'], `cannot use PARAMS '{': it is not JSON\n${HINT}`);
  await refused(['stop', '[]'], `cannot use PARAMS '[]': it is no object\n${HINT}`);
  await refused(['stop', 'null'], `cannot use PARAMS 'null': it is no object\n${HINT}`);
  await refused(['stop', '-'], `cannot use PARAMS '': it is not JSON\n${HINT}`);
  // A slip must not make a request for one thing one for all, or a dry run a real one.
  await refused(
    ['unexport', '{"adress": "/dev/ublkb0"}'],
    "cannot call unexport: it has no param 'adress'\n  did you mean address?\n",
  );
  await refused(
    ['stop', '{"dry_run": true}'],
    "cannot call stop: it has no param 'dry_run'\n  see bandstand-control(7)\n",
  );
  const long = 'x'.repeat(70);
  const shown = `cannot use PARAMS '${long.slice(0, 60)}…': it is not JSON\n${HINT}`;
  await refused(['stop', '-'], shown, long);
  const most = 'cannot use PARAMS: they have more than 63 KiB\n  see bandstand-control(7)\n';
  const wide = JSON.stringify({ address: 'x'.repeat(63 * 1024) });
  await refused(['unexport', wide], most);
  await refused(['unexport', '-'], most, wide);
  await refused(['unexport', '-'], most, ' '.repeat(MIB));
  t.deepEqual(stack.asked, []);
});

test('every method but those between servers can be called', (t) => {
  const others = Object.keys(METHODS).filter((method) => !PUBLIC_METHODS.includes(method as never));
  t.deepEqual(others, ['hand-over']);
});

test('an address that is no text is not taken for all exports', async (t) => {
  const stack = await FakeStack.start(t, 'tank', answers);
  t.deepEqual(await stack.world.run('rpc', 'tank', 'unexport', '{"address": 1}'), {
    status: 1,
    stdout: '',
    stderr:
      'bandstand: cannot unexport tank: address is not text\n' +
      '  use the command of the same version as the server, or see bandstand-control(7)\n',
  });
  t.deepEqual(stack.asked, []);
});

test('an error of the server is an error of the command, with its code', async (t) => {
  const { world } = await FakeStack.start(t, 'tank', () =>
    Promise.reject(
      new BandstandError('BANDSTAND_ACTIVITY_NONE', {
        message: 'cannot pause the rebuild of tank: none is running',
        hint: 'look at it: bandstand status tank',
      }),
    ),
  );
  const words = ['rpc', 'tank', 'rebuild', '{"action": "pause", "of_cache": false}'];
  t.deepEqual(await world.run(...words), {
    status: 1,
    stdout: '',
    stderr:
      'bandstand: cannot pause the rebuild of tank: none is running\n' +
      '  look at it: bandstand status tank\n',
  });
  const json = await world.run(...words, '--json');
  t.is(json.status, 1);
  t.is(JSON.parse(json.stderr).error.code, 'BANDSTAND_ACTIVITY_NONE');
});

test('what reads needs the status socket only, what changes needs the other', async (t) => {
  const stack = await FakeStack.start(t, 'tank', answers);
  const { world } = stack;
  // As for somebody who has no control socket of this stack.
  rmSync(world.path('run/tank.control.sock'));
  for (const method of ['ping', 'status', 'events']) {
    t.is((await world.run('rpc', 'tank', method)).status, 0, method);
  }
  const changing = PUBLIC_METHODS.filter(
    (method) => !['ping', 'status', 'events'].includes(method),
  );
  t.is(changing.length, 10);
  for (const method of changing) {
    t.deepEqual(await world.run('rpc', 'tank', method), {
      status: 1,
      stdout: '',
      stderr:
        'bandstand: cannot ask the server of tank: its server (pid 7) is that of another user\n' +
        '  run it with sudo\n',
    });
  }
  t.deepEqual(stack.asked, []);
});

test('a stack that does not run, and one that nobody knows, are told apart', async (t) => {
  const world = new CliWorld(t);
  const disks = world.files(2, 4 * MIB);
  t.is((await world.run('create', 'tank', '--raid', 'raid1', ...disks)).status, 0);
  for (const method of ['ping', 'stop']) {
    t.deepEqual(await world.run('rpc', 'tank', method), {
      status: 1,
      stdout: '',
      stderr:
        'bandstand: cannot ask the server of tank: it is not running\n' +
        '  start it first: bandstand export tank\n',
    });
    const { status, stderr } = await world.run('rpc', 'pond', method);
    t.is(status, 1);
    t.true(stderr.startsWith('bandstand: cannot find a stack called pond'), stderr);
  }
});

test('a new device is looked at here before the server is asked, as by the verbs', async (t) => {
  const stack = await FakeStack.start(t, 'tank', answers);
  const { world } = stack;
  const xfs = world.file('xfs.img', 4 * MIB);
  writeFileSync(xfs, Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(4 * MIB - 4)]));
  const [blank] = world.files(1, 4 * MIB) as [string];
  const flags = { spare_only: false, of_cache: false, dry_run: false };
  const asks = (device: string): readonly (readonly [string, Record<string, unknown>])[] => [
    ['member-add', { device, ...flags }],
    ['member-replace', { member: '1', device, dry_run: false }],
    ['cache', { action: 'attach', devices: [device], dry_run: false }],
  ];
  for (const [method, params] of asks(xfs)) {
    const { status, stderr } = await world.run('rpc', 'tank', method, JSON.stringify(params));
    t.is(status, 1, method);
    t.regex(stderr, /: it holds an XFS file system\n {2}erase it if nothing on it is needed/);
  }
  t.deepEqual(stack.asked, []);
  // Its server runs in another directory.
  for (const [method, params] of asks(path.relative(process.cwd(), blank))) {
    t.is((await world.run('rpc', 'tank', method, JSON.stringify(params))).status, 0, method);
  }
  t.deepEqual(stack.asked, asks(blank).map(([method, params]) => ({ method, params })) as never);
});

test('a block device in use is not taken away, and the verb that would is named', async (t) => {
  const world = new CliWorld(t);
  // In its place a file that another process has open.
  const device = world.file('ublkb0', MIB);
  const fd = openSync(device, 'r');
  const holder = spawn('sleep', ['60'], { stdio: [fd, 'ignore', 'ignore'] });
  closeSync(fd);
  t.teardown(() => holder.kill());
  const exported = { kind: 'ublk' as const, address: device, read_only: false, size_bytes: MIB };
  const handler: MethodHandler = async (method, params) =>
    method === 'status' ? statusOf('tank', { exports: [exported] }) : await answers(method, params);
  const stack = await FakeStack.start(t, 'tank', handler, world);
  for (const [method, params] of [
    ['stop', '{}'],
    ['unexport', '{}'],
    ['unexport', JSON.stringify({ address: device })],
  ] as const) {
    t.deepEqual(await world.run('rpc', 'tank', method, params), {
      status: 1,
      stdout: '',
      stderr:
        `bandstand: cannot ${method} tank: ${device} is open by sleep (${holder.pid})\n` +
        `  end that use first; bandstand ${method} tank --stop-in-use makes pending and later I/O fail\n`,
    });
  }
  t.deepEqual(stack.asked, []);
  const other = JSON.stringify({ address: 'nbd://127.0.0.1:10809/tank' });
  t.is((await world.run('rpc', 'tank', 'unexport', other)).status, 0);
  t.is(stack.asked.length, 1);
});
