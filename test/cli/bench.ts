/** `bench`: results, refusals, and that nothing is destroyed by accident. */

import { readFileSync } from 'node:fs';
import test from 'ava';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;

test('bench --json has the fields of the contract', async (t) => {
  const world = new CliWorld(t);
  const target = 'raid0(strip=64K,mem:4M,mem:4M)';
  const { status, stdout } = await world.run('bench', target, '--ios', '500', '--json');
  t.is(status, 0);
  const { schema, data } = JSON.parse(stdout);
  t.is(schema, 'bandstand.bench/1');
  t.deepEqual(Object.keys(data).sort(), [
    'bytes_per_second',
    'cpu_seconds',
    'errors',
    'iops',
    'ios',
    'latency_us',
  ]);
  t.deepEqual(Object.keys(data.latency_us).sort(), ['max', 'mean', 'p50', 'p99', 'p999']);
  t.is(data.ios, 500);
  t.is(data.errors, 0);
});

test('bench takes each arrangement and reads from files', async (t) => {
  const world = new CliWorld(t);
  const [a, b] = world.files(2, 4 * MIB) as [string, string];
  for (const target of [
    'null:1G',
    'mem:4M',
    a,
    `raid1(${a},${b})`,
    `concat(${a},null:4M)`,
    'raid5f(strip=16K,mem:4M,mem:4M,mem:4M)',
    'delay(mem:1M,min=100us)',
  ]) {
    const { status, stdout } = await world.run('bench', target, '--ios', '50', '--plain');
    t.is(status, 0, target);
    t.is(stdout.split('\t').length, 6);
  }
});

test('bench writes to a file only when the file is named with --erase', async (t) => {
  const world = new CliWorld(t);
  const file = world.file('disk.img', 4 * MIB);
  const refused = await world.run('bench', file, '--rw', 'randwrite', '--ios', '10');
  t.is(refused.status, 1);
  t.is(
    refused.stderr,
    `bandstand: cannot write to ${file}: what it holds would be lost\n` +
      `  to erase it, repeat the command with --erase ${file}\n`,
  );
  t.true(readFileSync(file).every((byte) => byte === 0));
  const words = ['bench', `raid0(${file},mem:4M)`, '--rw', 'randwrite', '--ios', '50'];
  t.is((await world.run(...words)).status, 1, 'also inside an array');
  t.is((await world.run(...words, '--erase', file)).status, 0);
  t.false(readFileSync(file).every((byte) => byte === 0));
});

test('bench counts errors and says so with its status', async (t) => {
  const world = new CliWorld(t);
  const target = 'error(mem:4M,op=read,every=10)';
  const { status, stdout } = await world.run('bench', target, '--ios', '100', '--json');
  t.is(status, 1);
  t.is(JSON.parse(stdout).data.errors, 10);
});

const REFUSALS: readonly (readonly [words: readonly string[], status: number, stderr: RegExp])[] = [
  [['mem:4M', '--rw', 'trim'], 2, /^bandstand: cannot use --rw 'trim': it has to be read, write, /],
  [['mem:4M', '--mix', '50'], 2, /^bandstand: cannot use --mix with --rw randread\n/],
  [['mem:4M', '--bs', '1000', '--ios', '1'], 2, /1000 bytes are not a multiple of 4096\n/],
  [['mem:4M', '--depth', '0'], 2, /cannot use --depth '0': it has to be a whole number from 1 to/],
  [['mem:4M', '--bs', '32M', '--depth', '100'], 2, /need more than 2 GiB of buffers\n/],
  [['mem:4M', '--block-size', '1K'], 2, /cannot use --block-size 1024: it has to be 512 or 4096\n/],
  [['raid9(mem:4M)'], 1, /cannot use .*raid9\(mem:4M\): there is no such device or file\n/],
  [['raid1(mem:4M)'], 1, /raid1 needs at least 2 members, 1 given\n/],
  [['raid0(raid0(mem:4M),mem:4M)'], 1, /an array can stand only at the outside\n/],
  [['error(mem:4M,color=red)'], 1, /error has no option 'color'\n/],
];

for (const [words, status, stderr] of REFUSALS) {
  test(`bench ${words.join(' ')} is refused`, async (t) => {
    const outcome = await new CliWorld(t).run('bench', ...words);
    t.regex(outcome.stderr, stderr);
    t.is(outcome.status, status);
    t.is(outcome.stdout, '');
  });
}
