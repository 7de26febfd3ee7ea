/** `examine` and `wipe` over files: every field, damage, and what a wipe takes away. */

import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import test from 'ava';
import {
  encodeLabel,
  LABEL_BYTES,
  LABEL_OFFSETS,
  type Label,
  labelCopy,
  NO_PROCESS,
} from '../../src/raid/label.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;
const UUID = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';

async function mirror(world: CliWorld): Promise<[string, string]> {
  const [a, b] = world.files(2, 16 * MIB) as [string, string];
  await world.run('create', 'tank', '--raid', 'raid1', '--uuid', UUID, a, b);
  return [a, b];
}

function damage(file: string, at: number): void {
  const byte = readFileSync(file)[at]!;
  const fd = openSync(file, 'r+');
  writeSync(fd, Uint8Array.of(byte ^ 0x10), 0, 1, at);
  closeSync(fd);
}

test('examine --json has every field of superblock and labels', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = await mirror(world);
  const { status, stdout } = await world.run('examine', '--json', a, b);
  t.is(status, 0);
  const { schema, data } = JSON.parse(stdout);
  t.is(schema, 'bandstand.examine/1');
  t.is(data.devices.length, 2);
  const [first, second] = data.devices;
  t.is(first.superblock.state, 'ok');
  t.like(first.superblock.array, { name: 'tank', uuid: UUID, level: 'raid1', seq_number: 1 });
  for (const field of [
    'signature',
    'version_major',
    'length',
    'crc',
    'uuid',
    'name',
    'raid_size',
  ]) {
    t.true(field in first.superblock.fields, field);
  }
  t.is(first.labels.length, 2);
  t.is(second.member.slot, 1);
  t.is(second.member.state, 'clean');
  t.is(first.size_bytes, 16 * MIB);
  t.deepEqual(first.foreign, []);
  t.is(first.usage, null);
});

test('examine in text says what a person asks first', async (t) => {
  const world = new CliWorld(t);
  const [a] = await mirror(world);
  t.is(
    (await world.run('examine', a)).stdout,
    [
      `${a}: member of tank (${UUID}), slot 0 of 2, raid1`,
      '  size: 16 MiB in blocks of 4096 bytes',
      ' array: 15 MiB, sequence 1',
      ' label: copy 0 good (sequence 2); copy 1 good (sequence 1)',
      ' state: clean',
      '',
    ].join('\n'),
  );
});

function putLabel(file: string, label: Label): void {
  const fd = openSync(file, 'r+');
  const at = LABEL_OFFSETS[labelCopy(label.sequence)];
  writeSync(fd, encodeLabel(label), 0, LABEL_BYTES, at);
  closeSync(fd);
}

const SPARE: Label = {
  sequence: 8,
  memberUuid: '11111111-1111-4111-8111-111111111111',
  arrayUuid: UUID,
  superblockSeq: 1,
  slot: 0,
  role: 'spare',
  state: 'clean',
  ftl: false,
  nvCache: false,
  eventCount: 0,
  bitmap: null,
  process: NO_PROCESS,
  missedSince: 0,
};

test('examine names a spare, and a target with what is done of it', async (t) => {
  const world = new CliWorld(t);
  const [spare] = world.files(1, 16 * MIB) as [string];
  putLabel(spare, SPARE);
  t.regex(
    (await world.run('examine', spare)).stdout,
    new RegExp(`: spare of the array ${UUID}\\n`),
  );
  const [a] = await mirror(world);
  const uuid = SPARE.memberUuid;
  const process = { ...NO_PROCESS, kind: 'rebuild', slot: 1, block: 256, uuid } as const;
  putLabel(a, { ...SPARE, role: 'target', slot: 1, process: { ...process, replace: true } });
  const { stdout } = await world.run('examine', a);
  t.regex(stdout, /: target of a rebuild of tank \(.*\), slot 1 of 2, raid1\n/);
  t.regex(stdout, /^ *process: rebuild of slot 1 \(replacement\), 1 MiB of each member done$/m);
  putLabel(a, {
    ...SPARE,
    role: 'member',
    process: { ...NO_PROCESS, kind: 'check', paused: true },
  });
  t.regex((await world.run('examine', a)).stdout, /^ *process: check, paused, 0 B of each member/m);
});

test('examine names what a damaged superblock suffers from, and ends with 1', async (t) => {
  const world = new CliWorld(t);
  const [a] = await mirror(world);
  damage(a, 45);
  const { status, stdout } = await world.run('examine', a);
  t.is(status, 1);
  t.regex(stdout, /: a damaged superblock\n/);
  t.regex(stdout, /^ *damage: .*checksum/m);
});

test('examine of an empty and of a foreign device', async (t) => {
  const world = new CliWorld(t);
  const empty = world.file('empty.img', MIB);
  const foreign = world.path('xfs.img');
  const content = Buffer.alloc(MIB);
  content.write('XFSB');
  writeFileSync(foreign, content);
  const { status, stdout } = await world.run('examine', empty, foreign);
  t.is(status, 0);
  t.true(stdout.startsWith(`${empty}: nothing recognised\n`));
  t.true(stdout.includes(`${foreign}: an XFS file system\n`));
});

test('examine refuses what is missing', async (t) => {
  const world = new CliWorld(t);
  const { status, stderr } = await world.run('examine', world.path('nowhere'));
  t.is(status, 1);
  t.is(
    stderr,
    `bandstand: cannot use ${world.path('nowhere')}: there is no such device or file\n` +
      '  look for it with lsblk\n',
  );
});

test('wipe --dry-run shows what it would take away, and takes nothing', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = await mirror(world);
  const before = readFileSync(a);
  const { status, stdout } = await world.run('wipe', '--dry-run', a);
  t.is(status, 0);
  t.is(
    stdout,
    `${a}: would erase the superblock and both labels of tank\n` +
      `tank is still known: ${b} has its metadata\n`,
  );
  t.true(readFileSync(a).equals(before));
});

test('wipe has to be confirmed, and then takes the metadata and nothing else', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = await mirror(world);
  const fd = openSync(a, 'r+');
  writeSync(fd, Buffer.alloc(4096, 'data'), 0, 4096, 2 * MIB);
  closeSync(fd);
  const asked = await world.run('wipe', a);
  t.is(asked.status, 1);
  t.is(
    asked.stderr,
    `bandstand: cannot wipe ${a}: it holds the superblock and both labels of tank, and nobody can be asked\n` +
      '  repeat the command with --confirm tank\n',
  );
  const wrong = await world.run('wipe', a, '--confirm', 'pool');
  t.is(wrong.status, 1);
  const wiped = await world.run('wipe', a, '--confirm', 'tank');
  t.is(wiped.status, 0);
  const known = `tank is still known: ${b} has its metadata\n`;
  t.is(wiped.stdout, `${a}: erased the superblock and both labels of tank\n${known}`);
  const now = readFileSync(a);
  t.is(now.indexOf('SPDKRAID'), -1);
  t.is(now.indexOf('BANDSTND'), -1);
  t.is(now.toString('latin1', 2 * MIB, 2 * MIB + 4), 'data');
  t.is(
    (await world.run('wipe', '--yes', a)).stdout,
    `${a}: nothing of bandstand's is on it\n${known}`,
  );
});

test('wipe leaves foreign data alone', async (t) => {
  const world = new CliWorld(t);
  const foreign = world.path('xfs.img');
  const content = Buffer.alloc(MIB);
  content.write('XFSB');
  writeFileSync(foreign, content);
  const { stdout } = await world.run('wipe', '--yes', '--json', foreign);
  t.deepEqual(JSON.parse(stdout).data.devices, [
    {
      device: foreign,
      array: null,
      array_uuid: null,
      superblock: 'absent',
      label_copies: 0,
      nv_cache: null,
      wiped: false,
    },
  ]);
  t.true(readFileSync(foreign).equals(content));
});

test('one device that cannot be wiped keeps the others from being wiped', async (t) => {
  const world = new CliWorld(t);
  const [a] = await mirror(world);
  const before = readFileSync(a);
  t.is((await world.run('wipe', '--yes', a, world.path('nowhere'))).status, 1);
  t.true(readFileSync(a).equals(before));
});
