/** `create`: every refusal has its own message and status, and nothing is written by it. */

import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { loadAddon } from '../../src/native/load.ts';
import { requires } from '../_helpers/requires.ts';
import { CliWorld, printedError } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;

interface Refusal {
  readonly title: string;
  /** Words after `create`; `A`, `B`, `C` are files of 4 MiB, `S` one of 64 KiB, `F` the folder. */
  readonly words: readonly string[];
  readonly status: 1 | 2;
  readonly stderr: string;
}

const REFUSALS: readonly Refusal[] = [
  {
    title: 'without a level',
    words: ['tank', 'A', 'B'],
    status: 2,
    stderr: 'cannot create: --raid is missing\n  choose raid0, raid1, raid5f or concat',
  },
  {
    title: 'an unknown level',
    words: ['tank', '--raid', 'raid6', 'A', 'B'],
    status: 2,
    stderr:
      "cannot use --raid 'raid6': there is no such level\n  choose raid0, raid1, raid5f or concat",
  },
  {
    title: 'without members',
    words: ['tank', '--raid', 'raid1'],
    status: 2,
    stderr: 'cannot create: MEMBER is missing\n  write bandstand create NAME MEMBER… [options]',
  },
  {
    title: 'a name with a slash',
    words: ['a/b', '--raid', 'raid1', 'A', 'B'],
    status: 2,
    stderr:
      "cannot use the name 'a/b': it contains a slash\n  choose 1 to 63 letters, digits, dots, dashes, underscores or colons, a letter or digit first",
  },
  {
    title: 'a name of 64 characters',
    words: ['n'.repeat(64), '--raid', 'raid1', 'A', 'B'],
    status: 2,
    stderr: `cannot use the name '${'n'.repeat(64)}': it has 64 bytes, at most 63 are possible\n  choose 1 to 63 letters, digits, dots, dashes, underscores or colons, a letter or digit first`,
  },
  {
    title: 'a name that begins with a dot',
    words: ['..', '--raid', 'raid1', 'A', 'B'],
    status: 2,
    stderr:
      "cannot use the name '..': it starts with a dot\n  choose 1 to 63 letters, digits, dots, dashes, underscores or colons, a letter or digit first",
  },
  {
    title: 'a missing device',
    words: ['tank', '--raid', 'raid1', 'A', 'nowhere.img'],
    status: 1,
    stderr: 'cannot use F/nowhere.img: there is no such device or file\n  look for it with lsblk',
  },
  {
    title: 'a directory',
    words: ['tank', '--raid', 'raid1', 'A', 'F'],
    status: 1,
    stderr: 'cannot use F: it is a directory\n  name a block device or a regular file',
  },
  {
    title: 'a character device',
    words: ['tank', '--raid', 'raid1', 'A', '/dev/null'],
    status: 1,
    stderr:
      'cannot use /dev/null: it is a character device\n  name a block device or a regular file',
  },
  {
    title: 'one device twice',
    words: ['tank', '--raid', 'raid1', 'A', 'A'],
    status: 1,
    stderr: 'cannot create tank: A is given twice\n  name each device once',
  },
  {
    title: 'one device twice, through a symbolic link',
    words: ['tank', '--raid', 'raid1', 'A', 'F/symlink'],
    status: 1,
    stderr: 'cannot create tank: A and F/symlink are the same device\n  name each device once',
  },
  {
    title: 'one device twice, through a hard link',
    words: ['tank', '--raid', 'raid1', 'A', 'F/hardlink'],
    status: 1,
    stderr: 'cannot create tank: A and F/hardlink are the same device\n  name each device once',
  },
  {
    title: 'a device that is too small',
    words: ['tank', '--raid', 'raid1', 'A', 'S'],
    status: 1,
    stderr: 'cannot create tank: S has 65536 bytes, at least 1052672 are needed',
  },
  {
    title: 'too few members',
    words: ['tank', '--raid', 'raid5f', 'A', 'B'],
    status: 1,
    stderr: 'cannot create tank: raid5f needs at least 3 members, 2 given',
  },
  {
    title: 'a strip size that is no power of two',
    words: ['tank', '--raid', 'raid0', '--strip-size', '48K', 'A', 'B'],
    status: 1,
    stderr: 'cannot create tank: the strip size of 49152 bytes is not a power of two',
  },
  {
    title: 'a strip size below a block',
    words: ['tank', '--raid', 'raid0', '--strip-size', '512', 'A', 'B'],
    status: 1,
    stderr: 'cannot create tank: the strip size of 512 bytes is less than a block of 4096',
  },
  {
    title: 'a strip size that is no size',
    words: ['tank', '--raid', 'raid0', '--strip-size', '64KB', 'A', 'B'],
    status: 2,
    stderr:
      "cannot use --strip-size '64KB': it is not a size\n  write sizes like 4096, 512K, 4KiB or 1.5T (powers of 1024)",
  },
  {
    title: 'a strip size for raid1',
    words: ['tank', '--raid', '1', '--strip-size', '64K', 'A', 'B'],
    status: 2,
    stderr: 'cannot use --strip-size with raid1: it has no strips\n  leave it out',
  },
  {
    title: 'a UUID that is none',
    words: ['tank', '--raid', 'raid1', '--uuid', 'tank', 'A', 'B'],
    status: 2,
    stderr: "cannot use --uuid 'tank': it is not a UUID\n  leave it out, and a random one is made",
  },
  {
    title: 'a cache without an FTL',
    words: ['tank', '--raid', 'raid1', '--no-ftl', '--cache', 'C', 'A', 'B'],
    status: 2,
    stderr:
      'cannot use --cache with --no-ftl: the FTL takes what the cache has gathered\n  leave one of them out',
  },
  {
    title: 'a cache that nothing would record',
    words: ['tank', '--raid', 'raid1', '--no-superblock', '--cache', 'C', 'A', 'B'],
    status: 2,
    stderr:
      'cannot use --cache with --no-superblock: nothing would record that there is a cache\n  leave one of them out',
  },
  {
    title: 'a spare for a level that rebuilds nothing',
    words: ['tank', '--raid', 'raid0', '--spare', 'C', 'A', 'B'],
    status: 2,
    stderr: 'cannot use --spare with raid0: it has no redundancy to rebuild from\n  leave it out',
  },
  {
    title: 'a spare that nothing would record',
    words: ['tank', '--raid', 'raid1', '--no-superblock', '--spare', 'C', 'A', 'B'],
    status: 2,
    stderr:
      'cannot use --spare with --no-superblock: nothing would record who replaces whom\n  leave one of them out',
  },
  {
    title: 'a spare that is a member',
    words: ['tank', '--raid', 'raid1', '--spare', 'A', 'A', 'B'],
    status: 1,
    stderr: 'cannot create tank: A is given twice\n  name each device once',
  },
  {
    title: 'a spare that is too small for a member',
    words: ['tank', '--raid', 'raid1', '--spare', 'S', 'A', 'B'],
    status: 1,
    stderr:
      'cannot create tank: the spare S has 65536 bytes, at least 4194304 are needed\n  name a spare that can take the place of any member',
  },
  {
    title: 'a spare that holds something',
    words: ['tank', '--raid', 'raid1', '--spare', 'X', 'A', 'B'],
    status: 1,
    stderr:
      'cannot create tank: X holds an XFS file system "backup"\n  to erase it, repeat the command with --erase X',
  },
  {
    title: 'an FTL without a superblock',
    words: ['tank', '--raid', 'raid1', '--ftl', '--no-superblock', 'A', 'B'],
    status: 2,
    stderr:
      'cannot use --ftl with --no-superblock: nothing would record that there is an FTL\n  leave one of them out',
  },
  {
    title: '--op without an FTL',
    words: ['tank', '--raid', 'raid1', '--op', '20', 'A', 'B'],
    status: 2,
    stderr: 'cannot use --op without an FTL\n  add --ftl, or leave it out',
  },
  {
    title: 'an --op that is none',
    words: ['tank', '--raid', 'raid1', '--ftl', '--op', '0', 'A', 'B'],
    status: 2,
    stderr: "cannot use --op '0': it is a number of per cent, 1 to 99\n  use 20",
  },
  {
    title: 'an FTL on members that are too small for it',
    words: ['tank', '--raid', 'raid1', '--ftl', 'A', 'B'],
    status: 1,
    stderr:
      'cannot make a log-structured device on tank: it has 3 MiB, and 16 bands of 1 MiB need 16 MiB and some for metadata\n  use larger members, or smaller strips',
  },
  {
    title: 'a device in memory',
    words: ['tank', '--raid', 'raid1', 'A', 'mem:16M'],
    status: 2,
    stderr:
      "cannot create a stack on 'mem:16M': members are block devices or regular files\n  write ./NAME for a file whose name looks like that",
  },
  {
    title: '--erase of a device that is no member',
    words: ['tank', '--raid', 'raid1', '--erase', 'C', 'A', 'B'],
    status: 1,
    stderr:
      'cannot create tank: --erase C names no member\n  name a device that is also given as a member',
  },
  {
    title: '--confirm with another name',
    words: ['tank', '--raid', 'raid1', '--confirm', 'pool', 'A', 'B'],
    status: 2,
    stderr: "cannot create tank: --confirm says 'pool'\n  write the same name twice",
  },
  {
    title: 'a foreign file system',
    words: ['tank', '--raid', 'raid1', 'A', 'X'],
    status: 1,
    stderr:
      'cannot create tank: X holds an XFS file system "backup"\n  to erase it, repeat the command with --erase X',
  },
];

function prepare(world: CliWorld) {
  const [a, b, c] = world.files(3, 4 * MIB) as [string, string, string];
  const s = world.file('small.img', 65536);
  const x = world.file('xfs.img', 4 * MIB);
  const content = Buffer.alloc(4 * MIB);
  content.write('XFSB', 0);
  content.write('backup', 108);
  writeFileSync(x, content);
  symlinkSync(a, world.path('symlink'));
  linkSync(a, world.path('hardlink'));
  const names: Record<string, string> = { A: a, B: b, C: c, S: s, X: x, F: world.folder };
  const word = (text: string): string =>
    text.startsWith('F/') || text === 'nowhere.img'
      ? world.path(text.replace('F/', ''))
      : (names[text] ?? text);
  const message = (text: string): string =>
    text
      .replace(/\bF\//g, `${world.folder}/`)
      .replace(/(?<![\w/.'])([ABCSXF])(?![\w/.'])/g, (_, name: string) => names[name]!);
  return { word, message, members: [a, b, c, s, x] };
}

for (const { title, words, status, stderr } of REFUSALS) {
  test(`create refuses ${title}`, async (t) => {
    const world = new CliWorld(t);
    const { word, message, members } = prepare(world);
    const before = members.map((member) => readFileSync(member));
    const outcome = await world.run('create', ...words.map(word));
    t.is(outcome.stderr, `bandstand: ${message(stderr)}\n`);
    t.is(outcome.stdout, '');
    // Misuse of --erase is about devices, but still the command line is wrong.
    t.is(outcome.status, title.startsWith('--erase of') ? 2 : status);
    for (const [index, member] of members.entries()) {
      t.true(readFileSync(member).equals(before[index]!), 'nothing was written');
    }
    t.deepEqual((await world.run('list', '--json')).stdout.match(/"stacks":\[\]/)?.length, 1);
  });
}

test('create writes superblocks, remembers the stack and starts nothing', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  const uuid = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';
  const made = await world.run('create', 'tank', '--raid', 'raid1', '--uuid', uuid, a, b);
  t.is(made.status, 0);
  t.is(made.stderr, '');
  t.is(
    made.stdout,
    [
      '  array   raid1, 2 members',
      '  usable  3 MiB of 8 MiB raw',
      '',
      `  SLOT  DEVICE${' '.repeat(a.length - 6)}  SIZE   NOW HOLDS`,
      `  0     ${a}  4 MiB  nothing recognised`,
      `  1     ${b}  4 MiB  nothing recognised`,
      '',
      `created tank (${uuid})`,
      '  export it: bandstand export tank',
      '',
    ].join('\n'),
  );
  for (const member of [a, b]) {
    t.is(readFileSync(member).toString('latin1', 0, 8), 'SPDKRAID');
  }
  const status = JSON.parse((await world.run('status', 'tank', '--json')).stdout);
  t.is(status.schema, 'bandstand.status/1');
  t.is(status.data.health, 'stopped');
  t.is(status.data.server, null);
  t.is(status.data.size_bytes, 3 * MIB);
  t.deepEqual(
    status.data.array.members.map((member: { device: string }) => member.device),
    [a, b],
  );
});

test('create --json prints one envelope, with exact numbers', async (t) => {
  const world = new CliWorld(t);
  const disks = world.files(3, 4 * MIB);
  const made = await world.run('create', 'fast', '--raid', '0', '--json', ...disks);
  const { schema, generated_at, data } = JSON.parse(made.stdout);
  t.is(schema, 'bandstand.create/1');
  t.regex(generated_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  t.is(data.level, 'raid0');
  t.is(data.strip_size_bytes, 131_072);
  t.is(data.size_bytes, 9 * MIB);
  t.is(data.members.length, 3);
  t.is(data.members[2].data_offset_bytes, MIB);
});

test('create --dry-run shows the same plan and writes nothing', async (t) => {
  const world = new CliWorld(t);
  const disks = world.files(2, 4 * MIB);
  const shown = await world.run('create', 'tank', '--raid', 'raid1', '--dry-run', ...disks);
  t.is(shown.status, 0);
  t.regex(shown.stdout, /would create tank; nothing was written\n$/);
  for (const disk of disks) t.true(readFileSync(disk).every((byte) => byte === 0));
  t.regex((await world.run('list')).stdout, /no stacks are known/);
});

test('create refuses a name that is known, and the members of an array', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  t.is((await world.run('create', 'tank', '--raid', 'raid1', a, b)).status, 0);
  const again = await world.run('create', 'tank', '--raid', 'raid1', a, b);
  t.is(again.status, 1);
  t.is(
    again.stderr,
    'bandstand: cannot create tank: a stack of this name is known already\n' +
      '  choose another name, or look at it: bandstand status tank; if it is gone for good: bandstand forget tank\n',
  );
  const json = await world.run('create', 'tank', '--raid', 'raid1', a, b, '--json');
  t.is(printedError(json).code, 'BANDSTAND_STACK_EXISTS');
  const other = await world.run('create', 'other', '--raid', 'raid1', a, b);
  t.is(other.status, 1);
  t.is(
    other.stderr,
    `bandstand: cannot create other: ${a} holds a RAID superblock "tank"\n` +
      `  to erase it, repeat the command with --erase ${a}\n`,
  );
});

test('--erase loses the data of the device it names, once it is confirmed', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  const content = Buffer.alloc(4 * MIB);
  content.write('EFI PART', 512);
  content.write('EFI PART', 4 * MIB - 512);
  writeFileSync(a, content);
  const words = ['create', 'tank', '--raid', 'raid1', '--erase', a, a, b];
  const asked = await world.run(...words);
  t.is(asked.status, 1);
  t.is(
    asked.stderr,
    `bandstand: cannot create tank: what ${a} holds would be lost, and nobody can be asked\n` +
      '  repeat the command with --confirm tank\n',
  );
  t.is(printedError(await world.run(...words, '--json')).code, 'BANDSTAND_NOT_CONFIRMED');
  t.true(readFileSync(a).equals(content));
  const made = await world.run(...words, '--confirm', 'tank');
  t.is(made.stderr, '');
  t.is(made.status, 0);
  t.regex(made.stdout, /GPT partition table {2}will be erased\n/);
  const now = readFileSync(a);
  t.is(now.indexOf('EFI PART'), -1, 'the backup at the end is gone, too');
});

test('a spare is labelled, remembered and shown', async (t) => {
  const world = new CliWorld(t);
  const [a, b, c] = world.files(3, 4 * MIB) as [string, string, string];
  const words = ['create', 'tank', '--raid', 'raid1', '--spare', c, a, b];
  const dry = await world.run(...words, '--dry-run');
  t.is(dry.status, 0, dry.stderr);
  t.regex(dry.stdout, /^ {2}array {3}raid1, 2 members, 1 spare\n/);
  t.true(dry.stdout.includes(`\n  spare  ${c}  4 MiB  nothing recognised\n`), dry.stdout);
  t.true(readFileSync(c).every((byte) => byte === 0));
  const made = await world.run(...words, '--json');
  t.is(made.status, 0, made.stderr);
  const { uuid, spares } = JSON.parse(made.stdout).data;
  t.is(spares.length, 1);
  const remembered = JSON.parse(readFileSync(world.path('state/tank.json'), 'utf8'));
  t.deepEqual(remembered.spares, [{ uuid: spares[0].uuid, path: c }]);
  const examined = await world.run('examine', '--json', c);
  const [device] = JSON.parse(examined.stdout).data.devices;
  t.is(device.superblock.state, 'absent');
  const labels = device.labels.filter(({ state }: { state: string }) => state === 'ok');
  t.is(labels.length, 1);
  t.is(labels[0].fields.member_uuid, spares[0].uuid);
  t.is(labels[0].fields.array_uuid, uuid);
  const { stdout } = await world.run('status', 'tank', '--json');
  t.deepEqual(JSON.parse(stdout).data.array.spares, [
    {
      slot: null,
      device: c,
      uuid: spares[0].uuid,
      health: 'spare',
      read_errors: null,
      write_errors: null,
      repaired_blocks: null,
    },
  ]);
});

test('an array without superblock is only remembered', async (t) => {
  const world = new CliWorld(t);
  const disks = world.files(2, 4 * MIB);
  const made = await world.run('create', 'bare', '--raid', 'raid0', '--no-superblock', ...disks);
  t.is(made.status, 0);
  for (const disk of disks) t.true(readFileSync(disk).every((byte) => byte === 0));
  const remembered = JSON.parse(readFileSync(world.path('state/bare.json'), 'utf8'));
  t.is(remembered.superblock, false);
  t.is(remembered.size_bytes, 8 * MIB);
});

test('raid5f gets an FTL, and without one says what can be done with it', async (t) => {
  const world = new CliWorld(t);
  const words = ['create', 'p', '--raid', '5F', '--strip-size', '64K'];
  const made = await world.run(...words, '--op', '25', '--json', ...world.files(3, 64 * MIB));
  const { data } = JSON.parse(made.stdout);
  t.like(data.ftl, { op_percent: 25, unit_size_bytes: 128 * 1024 });
  t.true(data.size_bytes > 80 * MIB && data.size_bytes < 100 * MIB, `${data.size_bytes}`);
  const bare = await world.run(
    ...['create', 'q', '--raid', '5F', '--no-ftl'],
    ...['b0', 'b1', 'b2'].map((name) => world.file(name, 4 * MIB)),
  );
  t.regex(
    bare.stdout,
    / {2}it can be exported read-only: raid5f takes full stripes only, which the FTL makes\n {2}export it: bandstand export q --read-only\n$/,
  );
});

test('a file that another program has locked is in use', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  const native = loadAddon();
  const fd = native.fileOpen(a, 2, 0);
  t.is(native.fileLock(fd, true), 0);
  t.teardown(() => native.fileClose(fd));
  const outcome = await world.run('create', 'tank', '--raid', 'raid1', a, b);
  t.is(outcome.status, 1);
  t.is(
    outcome.stderr,
    `bandstand: cannot create tank: ${a} is in use: it is opened exclusively by another program\n` +
      '  end that use, or pass a different device\n',
  );
});

test('a state directory that cannot be made is an error of its own', async (t) => {
  const world = new CliWorld(t);
  mkdirSync(world.path('run'));
  writeFileSync(world.path('state'), 'not a directory');
  const outcome = await world.run('create', 'tank', '--raid', 'raid1', ...world.files(2, 4 * MIB));
  t.is(outcome.status, 1);
  t.regex(outcome.stderr, /^bandstand: cannot (use the state directory|read what is remembered)/);
});

requires('mkfs.ext4')('create names an ext4 file system and its label', async (t) => {
  const { execFileSync } = await import('node:child_process');
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  execFileSync('mkfs.ext4', ['-q', '-L', 'backup', b]);
  const outcome = await world.run('create', 'tank', '--raid', 'raid1', a, b);
  t.is(outcome.status, 1);
  t.is(
    outcome.stderr,
    `bandstand: cannot create tank: ${b} holds an ext4 file system "backup"\n` +
      `  to erase it, repeat the command with --erase ${b}\n`,
  );
});
