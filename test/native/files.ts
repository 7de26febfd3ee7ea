import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  constants,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { loadAddon } from '../../src/native/load.ts';
import { requires } from '../_helpers/requires.ts';

const addon = loadAddon();
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY } = constants;

function folderFor(t: { teardown: (run: () => void) => void }): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-files-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('fileOpen gives a close-on-exec descriptor or a negative errno', (t) => {
  const file = path.join(folderFor(t), 'new');
  t.is(addon.fileOpen(file, O_RDONLY, 0), -2);
  const fd = addon.fileOpen(file, O_RDWR | O_CREAT | O_EXCL, 0o600);
  t.true(fd >= 0);
  t.is(statSync(file).mode & 0o777, 0o600);
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!;
  t.truthy(Number.parseInt(flags, 8) & 0o2000000);
  t.is(addon.fileOpen(file, O_RDWR | O_CREAT | O_EXCL, 0o600), -17);
  t.is(addon.fileClose(fd), 0);
  t.is(addon.fileClose(fd), -9);
});

requires('/dev/shm')('fileAllocate gives a file all its memory, or nothing', (t) => {
  const folder = mkdtempSync('/dev/shm/bandstand-files-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'file');
  const fd = addon.fileOpen(file, O_RDWR | O_CREAT, 0o600);
  t.is(addon.fileAllocate(fd, 2 ** 45), -28);
  t.is(statSync(file).size, 0);
  t.is(addon.fileAllocate(fd, 12_288), 0);
  t.is(statSync(file).size, 12_288);
  t.is(statSync(file).blocks, 24);
  t.is(addon.fileAllocate(fd, 4096), 0);
  t.is(statSync(file).size, 12_288);
  addon.fileClose(fd);
  t.is(addon.fileAllocate(fd, 4096), -9);
  t.throws(() => addon.fileAllocate(fd, 0), { instanceOf: RangeError });
  t.throws(() => addon.fileAllocate('1' as never, 1), { instanceOf: TypeError });
});

test('arguments of file calls are checked', (t) => {
  t.throws(() => addon.fileOpen(1 as never, 0, 0), { instanceOf: TypeError });
  t.throws(() => addon.fileOpen('a\0b', 0, 0), { instanceOf: TypeError });
  t.throws(() => addon.fileOpen('a', -1, 0), { instanceOf: RangeError });
  t.throws(() => addon.fileClose(-1), { instanceOf: RangeError });
  t.throws(() => addon.fileClose(1.5), { instanceOf: RangeError });
  t.throws(() => addon.deviceInfo('0' as never), { instanceOf: TypeError });
});

test('an exclusive lock keeps out every other descriptor until it is released', (t) => {
  const file = path.join(folderFor(t), 'lock');
  const first = addon.fileOpen(file, O_RDWR | O_CREAT, 0o600);
  const second = addon.fileOpen(file, O_RDWR, 0);
  t.is(addon.fileLock(first, true), 0);
  t.is(addon.errnoName(addon.fileLock(second, true)), 'EAGAIN');
  t.is(addon.errnoName(addon.fileLock(second, false)), 'EAGAIN');
  t.is(addon.fileUnlock(first), 0);
  t.is(addon.fileLock(second, false), 0);
  t.is(addon.fileLock(first, false), 0);
  t.is(addon.errnoName(addon.fileLock(first, true)), 'EAGAIN');
  t.is(addon.fileClose(second), 0);
  t.is(addon.fileLock(first, true), 0);
  t.is(addon.fileClose(first), 0);
});

requires('flock')('a lock of another process is noticed, and its end too', async (t) => {
  const file = path.join(folderFor(t), 'lock');
  writeFileSync(file, '');
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(holder, 'exit');
  await once(holder.stdout, 'data');
  const fd = addon.fileOpen(file, O_RDWR, 0);
  t.is(addon.errnoName(addon.fileLock(fd, true)), 'EAGAIN');
  holder.stdin.end();
  await exited;
  t.is(addon.fileLock(fd, true), 0);
  addon.fileClose(fd);
});

test('deviceInfo of a file tells its size and what direct I/O needs', (t) => {
  const file = path.join(folderFor(t), 'image');
  writeFileSync(file, '');
  truncateSync(file, 5 * 2 ** 30 + 512);
  const fd = addon.fileOpen(file, O_RDONLY, 0);
  const info = addon.deviceInfo(fd);
  t.is(info.kind, 'file');
  t.is(info.sizeBytes, 5 * 2 ** 30 + 512);
  t.true(info.logicalBlockBytes >= 512 && info.logicalBlockBytes <= 65536);
  t.is(info.logicalBlockBytes & (info.logicalBlockBytes - 1), 0);
  t.is(info.physicalBlockBytes, statSync(file).blksize);
  t.is(info.zoned, 'none');
  t.true(info.volatileCache);
  t.false(info.readOnly);
  t.true(info.discardGranularityBytes > 0);
  const { dev } = statSync(file);
  t.is(info.major, ((dev >>> 8) & 0xfff) | 0);
  t.is(info.minor, (dev & 0xff) | ((dev >>> 12) & 0xfff00));
  addon.fileClose(fd);
});

test('bytes move at once between a file and mapped memory, inside it only', (t) => {
  const file = path.join(folderFor(t), 'image');
  writeFileSync(file, new Uint8Array(8192));
  const fd = addon.fileOpen(file, O_RDWR, 0);
  const { memory, address } = addon.memoryMap(8192, false);
  const bytes = new Uint8Array(memory);
  bytes.fill(0x5a, 0, 4096);
  t.is(addon.fileWriteNow(fd, address, 4096, 4096), 4096);
  t.is(addon.fileReadNow(fd, address + 4096, 4096, 4096), 4096);
  t.deepEqual(bytes.subarray(4096), bytes.subarray(0, 4096));
  t.is(addon.fileReadNow(fd, address, 4096, 8192), 0);
  t.is(addon.fileReadNow(1_000_000, address, 4096, 0), -9);
  t.throws(() => addon.fileReadNow(fd, address + 4097, 4096, 0), { instanceOf: RangeError });
  t.throws(() => addon.fileWriteNow(fd, address, -1, 0), { instanceOf: RangeError });
  t.throws(() => addon.fileReadNow(fd, address, 4096, -1), { instanceOf: RangeError });
  t.throws(() => addon.fileReadNow(fd, address, 4096, Number.NaN), { instanceOf: RangeError });
  addon.memoryUnmap(memory);
  t.throws(() => addon.fileReadNow(fd, address, 4096, 0), { instanceOf: RangeError });
  addon.fileClose(fd);
});

test('deviceInfo refuses what is neither a block device nor a file', (t) => {
  for (const target of ['/dev/null', tmpdir()]) {
    const flags = target === '/dev/null' ? O_RDONLY : O_RDONLY | O_DIRECTORY;
    const fd = addon.fileOpen(target, flags, 0);
    const error = t.throws(() => addon.deviceInfo(fd)) as NodeJS.ErrnoException;
    t.is(error.code, 'ENOTBLK');
    addon.fileClose(fd);
  }
  const closed = t.throws(() => addon.deviceInfo(1_000_000)) as NodeJS.ErrnoException;
  t.is(closed.code, 'EBADF');
});

requires(
  'root',
  'loop devices',
  'losetup',
  'blockdev',
)('deviceInfo of a block device agrees with blockdev and sysfs', async (t) => {
  const file = path.join(folderFor(t), 'image');
  writeFileSync(file, '');
  truncateSync(file, 16 * 2 ** 20);
  const run = async (program: string, ...args: string[]) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    const [status] = await once(child, 'close');
    return status === 0 ? output.trim() : null;
  };
  const loop = await run('losetup', '--find', '--show', '--sector-size', '4096', file);
  if (loop === null) return t.log('no loop device could be set up');
  const fd = addon.fileOpen(loop, O_RDONLY, 0);
  try {
    const info = addon.deviceInfo(fd);
    const number = async (option: string) => Number(await run('blockdev', option, loop));
    t.is(info.kind, 'block');
    t.is(info.sizeBytes, await number('--getsize64'));
    t.is(info.logicalBlockBytes, await number('--getss'));
    t.is(info.logicalBlockBytes, 4096);
    t.is(info.physicalBlockBytes, await number('--getpbsz'));
    t.is(info.ioMinBytes, await number('--getiomin'));
    t.is(info.ioOptBytes, await number('--getioopt'));
    t.is(info.readOnly, (await number('--getro')) === 1);
    const attribute = (name: string) =>
      readFileSync(`/sys/dev/block/${info.major}:${info.minor}/queue/${name}`, 'utf8').trim();
    t.is(info.discardMaxBytes, Number(attribute('discard_max_bytes')));
    t.is(info.volatileCache, attribute('write_cache') === 'write back');
    t.is(info.fua, attribute('fua') === '1');
    t.is(info.rotational, attribute('rotational') === '1');
    t.is(info.zoned, 'none');
  } finally {
    addon.fileClose(fd);
    await run('losetup', '--detach', loop);
  }
  return undefined;
});

test('an eventfd can be written, and a closed one cannot', (t) => {
  const fd = addon.eventfd();
  t.true(fd >= 0);
  t.is(addon.eventfdWrite(fd), 0);
  t.is(addon.fileClose(fd), 0);
  t.is(addon.eventfdWrite(fd), -9);
});
