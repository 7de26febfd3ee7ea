/** On what a file lies: through partitions, mapped devices and loop devices. */

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { deviceKey } from '../../src/stack/device-usage.ts';
import { devicesBelow, storageBelow } from '../../src/stack/storage-below.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

/** A tree like /sys/dev/block, in which folders are links to where the devices are. */
class Sys {
  readonly world: CliWorld;

  constructor(t: ExecutionContext) {
    this.world = new CliWorld(t);
    mkdirSync(this.world.path('block'));
  }

  get folder(): string {
    return this.world.path('block');
  }

  /** `place`: below `devices`; files with their content. */
  device(key: string, place: string, files: Readonly<Record<string, string>> = {}): void {
    const folder = this.world.path(path.join('devices', place));
    for (const [name, text] of Object.entries({ dev: key, ...files })) {
      mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      writeFileSync(path.join(folder, name), `${text}\n`);
    }
    symlinkSync(folder, path.join(this.folder, key));
  }
}

test('a disk lies on itself', (t) => {
  const sys = new Sys(t);
  sys.device('8:0', 'sda');
  t.deepEqual(devicesBelow('8:0', sys.folder), ['8:0']);
  t.deepEqual(devicesBelow('9:9', sys.folder), ['9:9'], 'one that is not there');
});

test('a volume lies on the disk of the partition that it is made of', (t) => {
  const sys = new Sys(t);
  sys.device('259:0', 'ublkb0');
  sys.device('259:1', 'ublkb0/ublkb0p1', { partition: '1' });
  sys.device('253:0', 'dm-0', { 'slaves/ublkb0p1/dev': '259:1', 'slaves/sdb/dev': '8:16' });
  t.deepEqual(devicesBelow('253:0', sys.folder).sort(), ['253:0', '259:0', '259:1', '8:16']);
});

test('a loop device lies on what its file lies on, and a loop of them ends', (t) => {
  const sys = new Sys(t);
  const file = sys.world.file('backing.img', 4096);
  sys.device('7:0', 'loop0', { 'loop/backing_file': file });
  const below = storageBelow(file, sys.folder);
  t.deepEqual(devicesBelow('7:0', sys.folder), ['7:0', ...below]);
  sys.device('253:1', 'dm-1', { 'slaves/dm-2/dev': '253:2' });
  sys.device('253:2', 'dm-2', { 'slaves/dm-1/dev': '253:1' });
  t.deepEqual(devicesBelow('253:1', sys.folder), ['253:1', '253:2']);
});

test('a file that is not there, and one in memory, lie on nothing', (t) => {
  t.deepEqual(storageBelow('/no/such/file'), []);
  t.deepEqual(storageBelow('/proc/self/status'), []);
});

test('device numbers are written as in /sys', (t) => {
  t.is(deviceKey(0x0810), '8:16');
  t.is(deviceKey(0x11_0305), '259:261');
});
