/** What /proc says, from texts of it and from this process. */

import { statSync } from 'node:fs';
import test from 'ava';
import {
  environmentOf,
  isFlusher,
  lockHolder,
  openFiles,
  statusBytes,
  statusCapabilities,
  statusUid,
  threadsOf,
} from '../../../src/cli/doctor/proc.ts';
import { deviceKey } from '../../../src/stack/device-usage.ts';
import { CliWorld } from '../../_helpers/run-cli.ts';

const STATUS = 'Name:\tnode\nUid:\t1000\t0\t0\t0\nVmLck:\t    184 kB\nCapEff:\t000001fffeffffff\n';

test('the lines of a status are understood, and missing ones are unknown', (t) => {
  t.is(statusBytes(STATUS, 'VmLck'), 184 * 1024);
  t.is(statusBytes(STATUS, 'VmSwap'), null);
  t.is(statusUid(STATUS), 0);
  t.is(statusCapabilities(STATUS), 0x1fffeffffffn);
  t.is(statusUid(''), null);
  t.is(statusCapabilities(''), null);
});

test('a task is an I/O flusher when both of its flags are set, whatever its name', (t) => {
  const stat = (flags: number) => `1 (a) S) b) S 1 2 3 4 5 ${flags} 7 8`;
  t.is(isFlusher(stat(0x0040_0040)), false);
  t.is(isFlusher(stat(0x0058_0040)), true);
  t.is(isFlusher(stat(0x0048_0040)), false);
  t.is(isFlusher('1 (a) S'), null);
});

test('who holds a lock is told by device and inode', (t) => {
  const world = new CliWorld(t);
  const [file, other] = [world.file('a.lock', 0), world.file('b.lock', 0)];
  const { dev, ino } = statSync(file);
  const hex = deviceKey(dev)
    .split(':')
    .map((part) => Number(part).toString(16).padStart(2, '0'));
  const line = (kind: string, inode: number) =>
    `1: ${kind} ADVISORY  WRITE 4711 ${hex.join(':')}:${inode} 0 EOF\n`;
  t.is(lockHolder(file, line('FLOCK ', ino)), 4711);
  t.is(lockHolder(other, line('FLOCK ', ino)), null);
  t.is(lockHolder(file, line('POSIX ', ino)), null, 'another kind of lock');
  t.is(lockHolder(world.path('missing'), line('FLOCK ', ino)), null);
  t.is(lockHolder(file, ''), null);
});

test('this process has threads, files and an environment, and a process that is gone none', (t) => {
  t.true(threadsOf(process.pid).some(({ tid }) => tid === process.pid));
  t.true(openFiles(process.pid)!.size > 0);
  t.is(environmentOf(process.pid)!.get('PATH'), process.env['PATH']);
  const gone = 2 ** 22 + 1;
  t.deepEqual(threadsOf(gone), []);
  t.is(openFiles(gone), null);
  t.is(environmentOf(gone), null);
});
