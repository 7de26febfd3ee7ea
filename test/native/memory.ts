import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { crc32c } from '../../src/block/crc32c.ts';
import { loadAddon } from '../../src/native/load.ts';
import { RawRing } from '../_helpers/raw-ring.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const addon = loadAddon();
const HUGE = 2 ** 21;

/** A temporary file with `bytes` bytes of a pattern, and its removal. */
function temporaryFile(bytes: number): { file: string; remove: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-memory-'));
  const file = path.join(folder, 'data');
  writeFileSync(
    file,
    Uint8Array.from({ length: bytes }, (_, index) => index ^ (index >> 8)),
  );
  return { file, remove: () => rmSync(folder, { recursive: true }) };
}

/** Resident memory of this process in bytes. */
function residentBytes(): number {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096;
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function mappingCount(): number {
  return readFileSync('/proc/self/maps', 'utf8').split('\n').length;
}

test.serial(
  'memory is page aligned, zero, of the size asked for, and keeps what is written',
  (t) => {
    for (const bytes of [1, 4096, 5000, 1 << 20]) {
      const { memory, address, hugePages } = addon.memoryMap(bytes, false);
      t.is(memory.byteLength, bytes);
      t.is(address % 4096, 0);
      t.false(hugePages);
      t.true(addon.isZero(address, bytes));
      const view = new Uint8Array(memory);
      view[bytes - 1] = 0xa5;
      t.false(addon.isZero(address, bytes));
      addon.zero(address, bytes);
      t.is(view[bytes - 1], 0);
      addon.memoryUnmap(memory);
    }
  },
);

test.serial('memory for huge pages is aligned to them, whether the pool has some or not', (t) => {
  for (const bytes of [4096, HUGE, 3 * HUGE + 4096]) {
    const { memory, address } = addon.memoryMap(bytes, true);
    t.is(memory.byteLength, bytes);
    t.is(address % HUGE, 0);
    new Uint8Array(memory).fill(1);
    t.false(addon.isZero(address, bytes));
    addon.memoryUnmap(memory);
  }
});

test.serial('unmapping detaches the memory and everything that looks at it', (t) => {
  const { memory, address } = addon.memoryMap(8192, false);
  const view = new Uint8Array(memory);
  addon.memoryUnmap(memory);
  t.is(memory.byteLength, 0);
  t.is(view.length, 0);
  t.throws(() => addon.zero(address, 1), { instanceOf: RangeError });
  t.throws(() => addon.memoryUnmap(memory), { instanceOf: TypeError });
});

test.serial('only memory of the addon can be unmapped', (t) => {
  t.throws(() => addon.memoryUnmap(new ArrayBuffer(4096)), { instanceOf: TypeError });
  t.throws(() => addon.memoryUnmap(new Uint8Array(8) as never), { instanceOf: TypeError });
  t.throws(() => addon.memoryUnmap(null as never), { instanceOf: TypeError });
  const ring = new RawRing(addon, 4);
  t.throws(() => addon.memoryUnmap(ring.ring.sqes), { instanceOf: TypeError });
  ring.close();
});

test.serial('sizes that cannot be are refused', (t) => {
  for (const bytes of [0, -1, 1.5, Number.NaN, 2 ** 32 + 1, Number.POSITIVE_INFINITY]) {
    t.throws(() => addon.memoryMap(bytes, false), { instanceOf: RangeError }, `${bytes}`);
  }
  t.throws(() => addon.memoryMap('4096' as never, false), { instanceOf: TypeError });
});

test.serial('a file mapped read-only can be read, and is refused as a target', (t) => {
  const { file, remove } = temporaryFile(8192);
  const fd = openSync(file, 'r');
  const { memory, address } = addon.memoryMapFile(fd, 4096, 4096, false);
  sameBytes(t, Buffer.from(memory), readFileSync(file).subarray(4096));
  t.is(addon.crc32c(address, 4096), crc32c(new Uint8Array(memory)));
  t.throws(() => addon.zero(address, 1), { instanceOf: RangeError });
  t.throws(() => addon.copy(address, address + 2048, 16), { instanceOf: RangeError });
  t.throws(() => addon.xor(address, Float64Array.of(address), 1, 16), { instanceOf: RangeError });
  const other = addon.memoryMap(4096, false);
  addon.copy(other.address, address, 4096);
  t.true(addon.equal(other.address, address, 4096));
  addon.memoryUnmap(other.memory);
  addon.memoryUnmap(memory);
  closeSync(fd);
  remove();
});

test.serial('a file mapped writable takes what is written', (t) => {
  const { file, remove } = temporaryFile(8192);
  const fd = openSync(file, 'r+');
  const { memory, address } = addon.memoryMapFile(fd, 0, 8192, true);
  addon.zero(address + 100, 1000);
  addon.memoryUnmap(memory);
  closeSync(fd);
  const after = readFileSync(file);
  t.true(after.subarray(100, 1100).every((byte) => byte === 0));
  t.is(after[1100], (1100 ^ (1100 >> 8)) & 0xff);
  remove();
});

test.serial('a file that cannot be mapped is an error with its errno', (t) => {
  const { file, remove } = temporaryFile(4096);
  const fd = openSync(file, 'r');
  const writable = t.throws(() => addon.memoryMapFile(fd, 0, 4096, true)) as NodeJS.ErrnoException;
  t.is(writable.code, 'EACCES');
  t.is(writable.syscall, 'mmap');
  const odd = t.throws(() => addon.memoryMapFile(fd, 1, 4096, false)) as NodeJS.ErrnoException;
  t.is(odd.code, 'EINVAL');
  closeSync(fd);
  const closed = t.throws(() => addon.memoryMapFile(fd, 0, 4096, false)) as NodeJS.ErrnoException;
  t.is(closed.code, 'EBADF');
  remove();
});

test.serial('a file placed in memory takes what is written there, and its neighbours stay', (t) => {
  const { file, remove } = temporaryFile(8192);
  const fd = openSync(file, 'r+');
  const { memory, address } = addon.memoryMap(16_384, false);
  const bytes = new Uint8Array(memory).fill(0xee);
  addon.memoryPlaceFile(memory, 4096, fd, 8192);
  closeSync(fd);
  sameBytes(t, bytes.subarray(4096, 12_288), readFileSync(file));
  t.true(bytes.subarray(0, 4096).every((byte) => byte === 0xee));
  t.true(bytes.subarray(12_288).every((byte) => byte === 0xee));
  addon.zero(address + 2048, 4096);
  bytes[4096 + 8191] = 0x42;
  addon.memoryUnmap(memory);
  const after = readFileSync(file);
  t.true(after.subarray(0, 2048).every((byte) => byte === 0));
  t.is(after[2048], (2048 ^ (2048 >> 8)) & 0xff);
  t.is(after[8191], 0x42);
  remove();
});

test.serial('a child process does not share a file placed in memory', (t) => {
  const { file, remove } = temporaryFile(4096);
  const fd = openSync(file, 'r+');
  const { memory, address } = addon.memoryMap(8192, false);
  addon.memoryPlaceFile(memory, 4096, fd, 4096);
  const start = (address + 4096).toString(16);
  const maps = readFileSync('/proc/self/smaps', 'utf8');
  const [, flags] = new RegExp(`^${start}-[^]*?^VmFlags: (.*)$`, 'm').exec(maps)!;
  t.true(flags!.split(' ').includes('dc'), flags);
  addon.memoryUnmap(memory);
  closeSync(fd);
  remove();
});

test.serial('a file is placed in whole pages of own memory, or not at all', (t) => {
  const { file, remove } = temporaryFile(8192);
  const fd = openSync(file, 'r+');
  const { memory, address } = addon.memoryMap(16_384, false);
  for (const [at, bytes] of [
    [1, 4096],
    [0, 100],
    [8192, 12_288],
    [16_384, 4096],
    [-4096, 4096],
    [0, 0],
  ] as const) {
    const place = () => addon.memoryPlaceFile(memory, at, fd, bytes);
    t.throws(place, { instanceOf: RangeError }, `${at}, ${bytes}`);
  }
  t.true(addon.isZero(address, 16_384));
  const strange = () => addon.memoryPlaceFile(new ArrayBuffer(8192), 0, fd, 4096);
  t.throws(strange, { instanceOf: TypeError });
  closeSync(fd);
  const closed = () => addon.memoryPlaceFile(memory, 0, fd, 4096);
  t.is((t.throws(closed) as NodeJS.ErrnoException).code, 'EBADF');
  addon.memoryUnmap(memory);
  const gone = () => addon.memoryPlaceFile(memory, 0, fd, 4096);
  t.throws(gone, { instanceOf: TypeError });
  const readOnly = openSync(file, 'r');
  const other = addon.memoryMap(8192, false);
  const refused = () => addon.memoryPlaceFile(other.memory, 0, readOnly, 4096);
  t.is((t.throws(refused) as NodeJS.ErrnoException).code, 'EACCES');
  addon.memoryUnmap(other.memory);
  closeSync(readOnly);
  remove();
});

test.serial('mapping and unmapping a thousand times leaves nothing behind', (t) => {
  const cycle = () => {
    const { memory } = addon.memoryMap(1 << 20, false);
    new Uint8Array(memory).fill(1, 0, 1 << 18);
    addon.memoryUnmap(memory);
  };
  for (let index = 0; index < 50; index += 1) cycle();
  const resident = residentBytes();
  const mappings = mappingCount();
  for (let index = 0; index < 1000; index += 1) cycle();
  // A leak would leave 250 MiB; the rest of the process may move by some.
  t.true(residentBytes() - resident < 64 * 2 ** 20);
  t.true(mappingCount() - mappings < 100);
});

test.serial('creating and closing a thousand rings leaves nothing behind', (t) => {
  const cycle = () => {
    const ring = new RawRing(addon, 64, 128);
    ring.push(0);
    ring.finish(1);
    ring.close();
  };
  for (let index = 0; index < 50; index += 1) cycle();
  const resident = residentBytes();
  const mappings = mappingCount();
  const descriptors = openDescriptors();
  for (let index = 0; index < 1000; index += 1) cycle();
  t.true(residentBytes() - resident < 64 * 2 ** 20);
  t.true(mappingCount() - mappings < 100);
  t.true(openDescriptors() - descriptors < 20);
});

test.serial('a ring that could not be created leaves no descriptor', (t) => {
  const descriptors = openDescriptors();
  for (let index = 0; index < 100; index += 1) t.throws(() => addon.ringCreate(8, 4, 0));
  t.true(openDescriptors() - descriptors < 10);
});
