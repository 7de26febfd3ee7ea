/**
 * member, rebuild, check, events and wait against a server that is a fake: what is asked of it, and
 * what people, scripts and programs read.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { ACTIVITY, eventOf, FakeStack, MEMBER, REBUILD, statusOf } from '../_helpers/fake-stack.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;

test('usage errors are told before anything is asked', async (t) => {
  const world = new CliWorld(t);
  const cases: readonly (readonly [words: string[], stderr: string])[] = [
    [
      ['member', 'grow', 'tank', '/dev/sdd'],
      "cannot do 'member grow': it has to be add, fail, remove or replace\n  see bandstand member --help\n",
    ],
    [
      ['member', 'fail', 'tank'],
      'cannot member: DEVICE is missing\n  write bandstand member ACTION NAME DEVICE [NEW] [options]\n',
    ],
    [
      ['member', 'replace', 'tank', 'sdb'],
      'cannot replace a member: NEW is missing\n  write bandstand member replace NAME DEVICE NEW\n',
    ],
    [
      ['member', 'fail', 'tank', 'sdb', 'sdc'],
      "cannot fail a member: 'sdc' is one argument too many\n  write bandstand member fail NAME DEVICE\n",
    ],
    [
      ['member', 'fail', 'tank', 'sdb', '--spare'],
      'cannot use --spare with member fail\n  leave it out\n',
    ],
    [
      ['rebuild', 'tank', '--pause', '--rate', '1M'],
      'cannot use --pause and --rate together\n  choose one\n',
    ],
    [
      ['rebuild', 'tank', '--rate', 'fast'],
      "cannot use --rate 'fast': it is not a rate\n  write auto, or bytes a second: sizes like 4096, 512K, 4KiB or 1.5T (powers of 1024)\n",
    ],
    [
      ['rebuild', 'tank', '--rate', '0'],
      "cannot use --rate '0': it is not a rate\n  write auto, or bytes a second: sizes like 4096, 512K, 4KiB or 1.5T (powers of 1024)\n",
    ],
    [
      ['check', 'tank', '--repair', '--stop'],
      'cannot use --stop and --repair together\n  choose one\n',
    ],
    [
      ['check', 'tank', '--stop', '--dry-run'],
      'cannot use --dry-run with --stop: it writes nothing\n  leave it out\n',
    ],
    [
      ['wait', 'tank', '--for', 'relocation'],
      "cannot use --for 'relocation': it has to be rebuild, resync, check, recovery, drain or idle\n  see bandstand wait --help\n",
    ],
    [
      ['wait', 'tank', '--progress=999'],
      'cannot use --progress=999: it is no open descriptor\n  open it in the shell, for example 999>&1\n',
    ],
    [
      ['wait', 'tank', '--progress', 'x'],
      "cannot use --progress 'x': it has to be a whole number from 0 to 1048576\n  see bandstand wait --help\n",
    ],
  ];
  for (const [words, stderr] of cases) {
    t.deepEqual(await world.run(...words), {
      status: 2,
      stdout: '',
      stderr: `bandstand: ${stderr}`,
    });
  }
});

test('a stack that nobody knows and one that does not run are told apart', async (t) => {
  const world = new CliWorld(t);
  const unknown =
    `bandstand: cannot find a stack called tank: ${world.path('state')} does not know it\n` +
    '  see which ones there are: bandstand list\n';
  const device = world.file('new.img', 4 * MIB);
  const verbs: readonly (readonly [words: string[], what: string])[] = [
    [['member', 'add', 'tank', device], 'add a member of tank'],
    [['member', 'fail', 'tank', '0'], 'fail a member of tank'],
    [['rebuild', 'tank'], 'show the rebuild of tank'],
    [['check', 'tank', '--repair'], 'check tank'],
    [['events', 'tank'], 'show the events of tank'],
    [['wait', 'tank'], 'wait until tank is idle'],
  ];
  for (const [words] of verbs) {
    t.deepEqual(await world.run(...words), { status: 1, stdout: '', stderr: unknown });
  }
  const disks = world.files(2, 4 * MIB);
  t.is((await world.run('create', 'tank', '--raid', 'raid1', ...disks)).status, 0);
  for (const [words, what] of verbs) {
    t.deepEqual(await world.run(...words), {
      status: 1,
      stdout: '',
      stderr:
        `bandstand: cannot ${what}: it is not running\n` +
        '  start it first: bandstand export tank\n',
    });
  }
  t.deepEqual(await world.run('events'), {
    status: 0,
    stdout: '',
    stderr: 'no stack is running\n',
  });
});

test('a new device is looked at before the server is asked', async (t) => {
  const stack = await FakeStack.start(t, 'tank', () => Promise.resolve(MEMBER));
  const { world } = stack;
  const file = world.file('xfs.img', 4 * MIB);
  writeFileSync(file, Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(4 * MIB - 4)]));
  const outcome = await world.run('member', 'add', 'tank', file);
  t.is(outcome.status, 1);
  t.is(
    outcome.stderr,
    `bandstand: cannot add ${file} to tank: it holds an XFS file system\n` +
      `  erase it if nothing on it is needed: wipefs --all ${file}\n`,
  );
  mkdirSync(world.path('folder'));
  t.is((await world.run('member', 'add', 'tank', world.path('folder'))).status, 1);
  t.is((await world.run('member', 'add', 'tank', 'mem:4M')).status, 1);
  t.deepEqual(stack.asked, []);
});

test('a member is named as typed, with what that means here', async (t) => {
  const stack = await FakeStack.start(t, 'tank', () => Promise.resolve(MEMBER));
  const { world } = stack;
  const file = world.file('new.img', 4 * MIB);
  const added = await world.run('member', 'add', 'tank', file, '--dry-run', '--json');
  t.is(added.stderr, '');
  const { schema, data } = JSON.parse(added.stdout);
  t.is(schema, 'bandstand.member/1');
  t.deepEqual(data, { name: 'tank', ...MEMBER });
  await world.run('member', 'fail', 'tank', '2');
  await world.run('member', 'replace', 'tank', file, file);
  const plain = await world.run('member', 'remove', 'tank', file, '--plain');
  t.is(plain.stdout, 'tank\tadd\t/dev/sdd\t2\trebuild\tchanged\n');
  const [add, fail, replace] = stack.asked;
  t.deepEqual(add, {
    method: 'member-add',
    params: { device: file, spare_only: false, of_cache: false, dry_run: true },
  });
  t.is(fail!.params['member'], '2');
  t.is(fail!.params['member_key'], null);
  t.like(replace!.params, { member: file, member_path: file, device: file });
  t.regex(String(replace!.params['member_key']), /^file:\d+:\d+$/);
});

test('rebuild and check ask for what their options say', async (t) => {
  const stack = await FakeStack.start(t, 'tank', (_method, { action }) =>
    Promise.resolve({ ...ACTIVITY, action, activity: REBUILD, changed: true }),
  );
  const { world } = stack;
  for (const words of [
    ['rebuild', 'tank'],
    ['rebuild', 'tank', '--rate', '200M/s'],
    ['rebuild', 'tank', '--rate', 'auto'],
    ['rebuild', 'tank', '--cancel', '--cache'],
    ['check', 'tank'],
    ['check', 'tank', '--repair', '-n'],
    ['check', 'tank', '--stop'],
  ]) {
    const outcome = await world.run(...words, '--json');
    t.is(outcome.status, 0, outcome.stderr);
    t.is(JSON.parse(outcome.stdout).schema, `bandstand.${words[0]}/1`);
  }
  t.deepEqual(
    stack.asked.map(({ params }) => params),
    [
      { action: 'show', of_cache: false, rate_bytes_per_second: null },
      { action: 'rate', of_cache: false, rate_bytes_per_second: 200 * MIB },
      { action: 'rate', of_cache: false, rate_bytes_per_second: null },
      { action: 'cancel', of_cache: true, rate_bytes_per_second: null },
      { action: 'start', repair: false, dry_run: false },
      { action: 'start', repair: true, dry_run: true },
      { action: 'stop', repair: false, dry_run: false },
    ],
  );
});

const FAILED = eventOf(2, {
  kind: 'member-failed',
  severity: 'error',
  message: '/dev/sdb (slot 0) has failed\u001b[2J',
  reason: 'a write failed (EIO)',
  action: 'put a device in its place',
  slot: 0,
  device: '/dev/sdb',
});

/** A server with these events; it never has more. */
function withEvents(t: ExecutionContext, name: string, world?: CliWorld) {
  const events = [1, 2].map((n) => (n === 2 ? FAILED : eventOf(1, { severity: 'info' })));
  const own = events.map((event) => ({ ...event, stack: name }));
  return FakeStack.start(
    t,
    name,
    async (_method, params) => {
      const since = Number(params['since']);
      const rest = own.filter(({ sequence }) => sequence > since);
      return { events: rest, last: 2, missed: since === 0 ? 3 : 0 };
    },
    world,
  );
}

test('events are lines: time, severity, message; reason and action with -v', async (t) => {
  const { world } = await withEvents(t, 'tank');
  t.deepEqual(await world.run('events', 'tank'), {
    status: 0,
    stdout: '09:14:01 I event 1\n09:14:02 E /dev/sdb (slot 0) has failed?[2J\n',
    stderr: 'tank: 3 older events are in its log\n',
  });
  const verbose = await world.run('events', 'tank', '-v', '-q');
  t.is(
    verbose.stdout,
    '09:14:01 I event 1\n09:14:02 E /dev/sdb (slot 0) has failed?[2J\n' +
      '           reason: a write failed (EIO)\n           action: put a device in its place\n',
  );
  t.is(verbose.stderr, '');
});

test('events of several stacks are in order of time and name their stack', async (t) => {
  const { world } = await withEvents(t, 'tank');
  await withEvents(t, 'vault', world);
  const { stdout } = await world.run('events', '-q');
  t.is(
    stdout,
    '09:14:01 I tank: event 1\n09:14:01 I vault: event 1\n' +
      '09:14:02 E tank: /dev/sdb (slot 0) has failed?[2J\n' +
      '09:14:02 E vault: /dev/sdb (slot 0) has failed?[2J\n',
  );
  const json = await world.run('events', 'vault', '--json', '-q');
  const lines = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(lines[1], {
    schema: 'bandstand.event/1',
    generated_at: FAILED.time,
    data: { ...FAILED, stack: 'vault' },
  });
  const plain = await world.run('events', 'tank', '--plain', '-q');
  t.is(
    plain.stdout.split('\n')[1],
    '2026-11-20T09:14:02.000Z\ttank\t2\terror\tmember-failed\t0\t/dev/sdb\t/dev/sdb (slot 0) has failed?[2J',
  );
});

test('following prints what comes, once, and ends with the server', async (t) => {
  let polls = 0;
  const stack: FakeStack = await FakeStack.start(t, 'tank', async (_method, params) => {
    const since = Number(params['since']);
    if (since === 0) return { events: [eventOf(1)], last: 1, missed: 0 };
    if (since === 1 && Number(params['wait_ms']) === 0) return { events: [], last: 1, missed: 0 };
    polls += 1;
    if (since === 1) return { events: [eventOf(2)], last: 2, missed: 0 };
    setImmediate(() => void stack.stop());
    return { events: [], last: 2, missed: 0 };
  });
  t.deepEqual(await stack.world.run('events', 'tank', '--follow'), {
    status: 0,
    stdout: '09:14:01 W event 1\n09:14:02 W event 2\n',
    stderr: 'tank: its server has ended\n',
  });
  t.true(polls >= 2);
});

test('an interrupt ends following at once, with success', async (t) => {
  let answered = false;
  let answer = (): void => {};
  const { world } = await FakeStack.start(t, 'tank', async (_method, params) => {
    // As a server does that has nothing to tell.
    if (Number(params['wait_ms']) > 0) {
      process.emit('SIGINT');
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      answered = true;
    }
    return { events: [], last: 0, missed: 0 };
  });
  t.deepEqual(await world.run('events', 'tank', '--follow'), { status: 0, stdout: '', stderr: '' });
  t.false(answered, 'it has not waited for the server');
  answer();
  t.is(process.listenerCount('SIGINT'), 0);
});

test('wait ends when the rebuild does, and tells how', async (t) => {
  let looks = 0;
  const { world } = await FakeStack.start(t, 'tank', async (method, params) => {
    if (method === 'status') {
      looks += 1;
      return looks < 4
        ? statusOf('tank', { health: 'degraded', activity: REBUILD })
        : statusOf('tank');
    }
    const since = Number(params['since']);
    const finished = eventOf(5, {
      kind: 'rebuild-finished',
      message: 'rebuild of slot 2 finished',
    });
    if (since > 5 || looks < 4) return { events: [], last: looks < 4 ? 4 : 5, missed: 0 };
    return { events: since < 5 ? [finished] : [], last: 5, missed: 0 };
  });
  const outcome = await world.run('wait', 'tank', '--for', 'rebuild', '--json');
  t.is(outcome.status, 0, outcome.stderr);
  const { schema, data } = JSON.parse(outcome.stdout);
  t.is(schema, 'bandstand.wait/1');
  t.like(data, { for: 'rebuild', waited: true, message: 'rebuild of slot 2 finished' });
  const again = await world.run('wait', 'tank', '--for', 'rebuild');
  t.is(
    again.stdout,
    'tank: no rebuild is running; the last one, 2026-11-20 09:14:05 UTC: rebuild of slot 2 finished\n',
  );
  t.is((await world.run('wait', 'tank', '--for', 'check')).stdout, 'tank: no check is running\n');
  t.is(
    (await world.run('wait', 'tank', '--plain')).stdout,
    'tank\tidle\tnothing\thealthy\t-\t-\t-\t-\t-\n',
  );
});

test('wait gives up after its time', async (t) => {
  const { world } = await FakeStack.start(t, 'tank', async (method) =>
    method === 'status'
      ? statusOf('tank', { health: 'degraded', activity: REBUILD })
      : { events: [], last: 0, missed: 0 },
  );
  const outcome = await world.run('wait', 'tank', '--timeout', '100ms');
  t.deepEqual(outcome, {
    status: 1,
    stdout: '',
    stderr:
      'bandstand: cannot wait longer until tank is idle: after 0.1 s it is still at its rebuild\n' +
      '  look at it: bandstand status tank\n',
  });
});
