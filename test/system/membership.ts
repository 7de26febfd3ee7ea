/**
 * Members of a running mirror with real processes: failed, replaced, returned, taken by spares,
 * checked; after every rebuild the data areas of all members are equal, byte for byte.
 */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import test from 'ava';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
/** Where the data of a member begins. */
const DATA_AT = MIB;
const CONTENT = noise(4 * MIB, 11);

const WAIT = '  wait for it: bandstand wait tank --for rebuild\n';

interface Shown {
  readonly health: string;
  readonly activity: { readonly kind: string };
  readonly array: {
    readonly members: readonly { device: string | null; health: string }[];
    readonly spares: readonly { device: string | null; health: string }[];
  };
}

class Mirror extends StackWorld {
  disks: string[] = [];

  /** A mirror of three with CONTENT at its start; `words` for create. */
  async start(...words: string[]): Promise<void> {
    this.disks = this.files(3, DISK_BYTES);
    await this.ok('create', 'tank', '--raid', 'raid1', ...words, ...this.disks);
    await this.export('tank');
    await this.write('tank', CONTENT);
  }

  async shown(): Promise<Shown> {
    return (await this.status('tank')) as unknown as Shown;
  }

  async devices(): Promise<(string | null)[]> {
    return (await this.shown()).array.members.map(({ device }) => device);
  }

  dataOf(disk: string): Buffer {
    return readFileSync(disk).subarray(DATA_AT);
  }
}

test.serial(
  'a failed member is replaced by a new device, and everything is there again',
  async (t) => {
    const world = new Mirror(t);
    await world.start();
    const [a, b, c] = world.disks as [string, string, string];
    const added = world.file('new.img', DISK_BYTES);
    t.is(
      (await world.ok('member', 'fail', 'tank', b)).stdout,
      `failed ${b} (slot 1); tank is degraded\n` +
        '  put a device in its place: bandstand member add tank DEVICE\n',
    );
    t.is((await world.shown()).health, 'degraded');
    t.is((await world.spawn('status', 'tank', '--exit-code')).status, 3);
    t.is(
      (await world.ok('member', 'fail', 'tank', '1')).stdout,
      `${b} (slot 1) of tank is failed already\n`,
    );
    await world.ok('member', 'remove', 'tank', '1');
    t.is(
      (await world.ok('member', 'add', 'tank', added)).stdout,
      `added ${added}: rebuild of slot 1 started, of everything\n${WAIT}`,
    );
    const more = noise(MIB, 12);
    await world.write('tank', more, 5 * MIB);
    await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
    const shown = await world.shown();
    t.is(shown.health, 'healthy');
    t.is(shown.activity.kind, 'idle');
    t.deepEqual(await world.devices(), [a, added, c]);
    t.true((await world.read('tank', CONTENT.length)).equals(CONTENT));
    t.true((await world.read('tank', more.length, 5 * MIB)).equals(more));
    await world.ok('stop', 'tank');
    t.true(world.dataOf(added).equals(world.dataOf(a)));
    t.true(world.dataOf(c).equals(world.dataOf(a)));
    await world.export('tank');
    t.deepEqual(
      await world.devices(),
      [a, added, c],
      'the new member is found without being named',
    );
    await world.ok('stop', 'tank');
  },
);

test.serial('a member that returns gets what it missed', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b, c] = world.disks as [string, string, string];
  await world.ok('member', 'fail', 'tank', '2');
  await world.ok('member', 'remove', 'tank', '2');
  await world.write('tank', noise(MIB, 13), 2 * MIB);
  t.is(
    (await world.ok('member', 'add', 'tank', c)).stdout,
    `added ${c}: rebuild of slot 2 started, of what it missed\n${WAIT}`,
  );
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  t.is((await world.shown()).health, 'healthy');
  t.deepEqual(await world.devices(), [a, b, c]);
  await world.ok('stop', 'tank');
  t.true(world.dataOf(c).equals(world.dataOf(a)));
  t.true(world.dataOf(b).equals(world.dataOf(a)));
});

test.serial('a spare takes the place of a failed member by itself', async (t) => {
  const world = new Mirror(t);
  const spare = world.file('spare.img', DISK_BYTES);
  await world.start('--spare', spare);
  const [a, b, c] = world.disks as [string, string, string];
  t.deepEqual(
    (await world.shown()).array.spares.map(({ device, health }) => [device, health]),
    [[spare, 'spare']],
  );
  t.is(
    (await world.ok('member', 'fail', 'tank', a)).stdout,
    `failed ${a} (slot 0); tank is degraded: rebuild onto ${spare} started\n${WAIT}`,
  );
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  const shown = await world.shown();
  t.is(shown.health, 'healthy');
  t.deepEqual(shown.array.spares, []);
  t.deepEqual(await world.devices(), [spare, b, c]);
  t.true((await world.read('tank', CONTENT.length)).equals(CONTENT));
  await world.ok('stop', 'tank');
  t.true(world.dataOf(spare).equals(world.dataOf(b)));
});

test.serial('a failed member is let go of while a spare takes its slot', async (t) => {
  const world = new Mirror(t);
  const spare = world.file('spare.img', DISK_BYTES);
  await world.start('--spare', spare);
  const [, b] = world.disks as [string, string, string];
  await world.ok('wait', 'tank', '--for', 'resync', '--timeout', '60s');
  await world.ok('rebuild', 'tank', '--rate', '512K');
  await world.ok('member', 'fail', 'tank', b);
  const added = await world.spawn('member', 'add', 'tank', b);
  t.is(added.status, 1);
  t.is(
    added.stderr,
    `bandstand: cannot add ${b} to tank: it has failed in slot 1, which is being rebuilt onto another device\n` +
      `  take it out first, then add it again: bandstand member remove tank ${b}\n`,
  );
  t.is((await world.ok('member', 'remove', 'tank', b)).stdout, `removed ${b} (slot 1) from tank\n`);
  t.is((await world.shown()).activity.kind, 'rebuild', 'which goes on');
  t.is(
    (await world.ok('member', 'add', 'tank', b)).stdout,
    `added ${b} as a spare\n` +
      `  slot 1 is being rebuilt onto ${spare}: bandstand wait tank --for rebuild\n`,
  );
  await world.ok('rebuild', 'tank', '--rate', 'auto');
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  const { array, health } = await world.shown();
  t.is(health, 'healthy');
  t.is(array.members[1]!.device, spare);
  t.deepEqual(
    array.spares.map(({ device }) => device),
    [b],
  );
  await world.ok('stop', 'tank');
});

test.serial('a member in use is replaced while the stack stays healthy', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b, c] = world.disks as [string, string, string];
  const added = world.file('new.img', DISK_BYTES);
  t.is(
    (await world.ok('member', 'replace', 'tank', '1', added)).stdout,
    `replacing ${b} (slot 1) with ${added}; ${b} stays in use until the copy is complete\n${WAIT}`,
  );
  t.is((await world.shown()).health, 'healthy');
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  t.deepEqual(await world.devices(), [a, added, c]);
  await world.ok('stop', 'tank');
  t.true(world.dataOf(added).equals(world.dataOf(a)));
  await world.export('tank');
  t.deepEqual(await world.devices(), [a, added, c]);
  await world.ok('stop', 'tank');
});

test.serial('a member that has failed, or is not there, is replaced by a rebuild', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b, c] = world.disks as [string, string, string];
  const second = world.file('second.img', DISK_BYTES);
  const third = world.file('third.img', DISK_BYTES);
  const finished = ['wait', 'tank', '--for', 'rebuild', '--timeout', '60s'];
  await world.ok('wait', 'tank', '--for', 'resync', '--timeout', '60s');
  await world.ok('member', 'fail', 'tank', b);
  t.is(
    (await world.ok('member', 'replace', 'tank', b, second, '--dry-run')).stdout,
    `would replace ${b} (slot 1) with ${second} and rebuild slot 1 onto it; nothing was changed\n`,
  );
  t.is(
    (await world.ok('member', 'replace', 'tank', b, second)).stdout,
    `replacing ${b} (slot 1) with ${second}: rebuild of slot 1 started, of everything\n${WAIT}`,
  );
  await world.ok(...finished);
  t.deepEqual(await world.devices(), [a, second, c]);
  await world.ok('member', 'fail', 'tank', '2');
  await world.ok('member', 'remove', 'tank', '2');
  t.is(
    (await world.ok('member', 'replace', 'tank', '2', third)).stdout,
    `replacing slot 2 with ${third}: rebuild of slot 2 started, of everything\n${WAIT}`,
  );
  await world.ok(...finished);
  t.deepEqual(await world.devices(), [a, second, third]);
  t.is((await world.shown()).health, 'healthy');
  t.true((await world.read('tank', CONTENT.length)).equals(CONTENT));
  await world.ok('stop', 'tank');
  t.true(world.dataOf(second).equals(world.dataOf(a)));
  t.true(world.dataOf(third).equals(world.dataOf(a)));
});

test.serial('what would cost data or makes no sense is refused in words', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b, c] = world.disks as [string, string, string];
  const small = world.file('small.img', 2 * MIB);
  const refusal = async (words: string[], stderr: string): Promise<void> => {
    const outcome = await world.spawn('member', ...words);
    t.is(outcome.status, 1, words.join(' '));
    t.is(outcome.stdout, '');
    t.is(outcome.stderr, `bandstand: ${stderr}`);
  };
  await refusal(
    ['remove', 'tank', b],
    `cannot remove ${b}: it is in use in slot 1 of tank\n` +
      `  fail it first: bandstand member fail tank ${b}\n`,
  );
  await refusal(
    ['add', 'tank', a],
    `cannot add ${a} to tank: it is in slot 0 already\n` +
      '  look at its members: bandstand status tank\n',
  );
  await refusal(
    ['add', 'tank', small],
    `cannot add ${small} to tank: it has 2 MiB (${2 * MIB} bytes), at least 16 MiB (${DISK_BYTES} bytes) are needed\n` +
      '  name a larger device\n',
  );
  await world.ok('member', 'fail', 'tank', '0');
  await world.ok('member', 'fail', 'tank', '1');
  await refusal(
    ['fail', 'tank', c],
    `cannot fail ${c}: tank is already degraded and raid1 of 3 members survives 2 failures\n` +
      '  add a device first: bandstand member add tank DEVICE\n',
  );
  const check = await world.spawn('check', 'tank');
  t.is(check.status, 1);
  t.regex(check.stderr, /^bandstand: cannot check tank: 1 of 3 members is in use, /);
  const wait = await world.spawn('wait', 'tank', '--for', 'rebuild');
  t.is(wait.status, 1);
  t.regex(
    wait.stderr,
    /^bandstand: cannot wait for the rebuild of tank: no rebuild is running, and it is still degraded /,
  );
  t.true((await world.read('tank', CONTENT.length)).equals(CONTENT), 'one member is enough');
  await world.ok('stop', 'tank');
  t.deepEqual(
    (await world.shown()).array.members.map(({ health }) => health),
    ['failed', 'failed', 'ok'],
    'also when it is stopped',
  );
});

test.serial('a check finds what disagrees, and repairs it when asked to', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b] = world.disks as [string, string, string];
  await world.ok('stop', 'tank');
  const fd = openSync(b, 'r+');
  writeSync(fd, Buffer.alloc(4096, 0xff), 0, 4096, DATA_AT + MIB);
  closeSync(fd);
  await world.export('tank');
  const kinds = async (): Promise<string[]> => {
    const { stdout } = await world.ok('events', 'tank', '--plain');
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[4]!);
  };
  t.is(
    (await world.ok('check', 'tank')).stdout,
    'tank: check started\n  wait for it: bandstand wait tank --for check\n',
  );
  await world.ok('wait', 'tank', '--for', 'check', '--timeout', '60s');
  const late = await world.spawn('wait', 'tank', '--for', 'check', '--exit-code');
  t.is(late.status, 4, 'blocks disagree and were left so');
  t.regex(
    late.stdout,
    /^tank: no check is running; the last one, [-0-9]+ [:0-9]+ UTC: check is complete: 1 blocks? disagreed, .*\n {2}repair it: bandstand check tank --repair\n$/,
  );
  const first = await kinds();
  t.true(first.includes('mismatch-found'), first.join(' '));
  t.true(first.includes('check-finished'), first.join(' '));
  await world.ok('check', 'tank', '--repair');
  const repaired = await world.spawn('wait', 'tank', '--for', 'check', '--exit-code');
  t.is(repaired.status, 3, 'found and repaired');
  await world.ok('check', 'tank');
  await world.ok('wait', 'tank', '--for', 'check', '--exit-code');
  await world.ok('stop', 'tank');
  t.true(world.dataOf(b).equals(world.dataOf(a)));
  t.true(world.dataOf(a).subarray(0, CONTENT.length).equals(CONTENT), 'the lowest slot won');
});

test.serial('a rebuild is limited, paused over a stop, and goes on where it was', async (t) => {
  const world = new Mirror(t);
  await world.start();
  const [a, b] = world.disks as [string, string, string];
  const added = world.file('new.img', DISK_BYTES);
  await world.ok('member', 'fail', 'tank', '2');
  await world.ok('member', 'remove', 'tank', '2');
  t.is(
    (await world.ok('rebuild', 'tank', '--rate', '1M')).stdout,
    'tank: rebuild limited to 1 MiB/s (was automatic)\n',
  );
  await world.ok('member', 'add', 'tank', added);
  t.regex(
    (await world.ok('rebuild', 'tank', '--pause')).stdout,
    /^tank: rebuild of slot 2 paused, at \d+\.\d %\n$/,
  );
  t.is((await world.shown()).activity.kind, 'rebuild');
  await world.ok('stop', 'tank');
  await world.export('tank');
  t.regex((await world.ok('rebuild', 'tank')).stdout, /^tank: rebuild of slot 2, .*paused/);
  await world.ok('rebuild', 'tank', '--resume');
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  t.deepEqual(await world.devices(), [a, b, added]);
  await world.ok('stop', 'tank');
  t.true(world.dataOf(added).equals(world.dataOf(a)));
});
