import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { loadAddon } from '../../src/native/load.ts';
import { RawRing } from '../_helpers/raw-ring.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const addon = loadAddon();

const NOP = 0;
const READ_FIXED = 4;
const READ = 22;
const WRITE = 23;
const FIXED_FILE = 1;

const CLAMP = 1 << 4;
const COOP_TASKRUN = 1 << 8;
const TASKRUN_FLAG = 1 << 9;
const SQE128 = 1 << 10;
const SINGLE_ISSUER = 1 << 12;
const DEFER_TASKRUN = 1 << 13;
const DEFERRED = SINGLE_ISSUER | DEFER_TASKRUN | COOP_TASKRUN;

function kernelTakes(flags: number): boolean {
  try {
    addon.ringClose(addon.ringCreate(2, 0, flags).handle);
    return true;
  } catch {
    return false;
  }
}

for (const [kind, flags] of [
  ['plain', 0],
  ['deferred', DEFERRED],
  ['SQE128', SQE128],
] as const) {
  const register = kernelTakes(flags) ? test : test.skip;

  register(`a ${kind} ring completes NOPs in order, far beyond its size`, (t) => {
    const ring = new RawRing(addon, 8, 16, flags);
    t.is(ring.ring.sqeBytes, flags === SQE128 ? 128 : 64);
    t.is(ring.ring.sqEntries, 8);
    t.is(ring.ring.cqEntries, 16);
    let expected = 0;
    for (let batch = 0; batch < 100; batch += 1) {
      const count = 1 + (batch % 8);
      for (let index = 0; index < count; index += 1) {
        ring.push(NOP, { userData: expected + index });
      }
      for (const completion of ring.finish(count)) {
        t.is(completion.userData, expected);
        t.is(completion.result, 0);
        expected += 1;
      }
    }
    t.is(addon.ringOverflow(ring.ring.handle), 0);
    t.is(ring.state[0], 0);
    ring.close();
  });

  register(`a ${kind} ring writes and reads a file through mapped memory`, (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-ring-'));
    const file = path.join(folder, 'data');
    writeFileSync(file, '');
    const fd = openSync(file, 'r+');
    const mapping = addon.memoryMap(1 << 16, false);
    const bytes = new Uint8Array(mapping.memory);
    for (let index = 0; index < 8192; index += 1) bytes[index] = (index * 7) ^ (index >> 8);
    const ring = new RawRing(addon, 4, 0, flags);
    const far = 2 ** 32 + 4096;
    ring.push(WRITE, { fd, offset: far, address: mapping.address, length: 8192, userData: 1 });
    t.deepEqual(ring.finish(1), [{ userData: 1, result: 8192, flags: 0 }]);
    ring.push(READ, {
      fd,
      offset: far,
      address: mapping.address + 16384,
      length: 8192,
      userData: 2,
    });
    t.deepEqual(ring.finish(1), [{ userData: 2, result: 8192, flags: 0 }]);
    sameBytes(t, bytes.slice(16384, 24576), bytes.slice(0, 8192));
    ring.close();
    addon.memoryUnmap(mapping.memory);
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
}

test('an entry that the kernel refuses does not hold up the ones behind it', (t) => {
  const ring = new RawRing(addon, 8);
  ring.push(NOP, { userData: 1 });
  ring.push(255, { userData: 2 });
  ring.push(NOP, { userData: 3 });
  ring.push(255, { userData: 4 });
  ring.push(NOP, { userData: 5 });
  const results = new Map(ring.finish(5).map(({ userData, result }) => [userData, result]));
  t.is(results.get(1), 0);
  t.true(results.get(2)! < 0);
  t.is(results.get(3), 0);
  t.true(results.get(4)! < 0);
  t.is(results.get(5), 0);
  t.is(ring.state[0], 0);
  ring.close();
});

test('a wait ends at its time limit with no completion and no error', (t) => {
  for (const flags of [0, DEFERRED].filter(kernelTakes)) {
    const ring = new RawRing(addon, 4, 0, flags);
    const started = process.hrtime.bigint();
    t.is(ring.enter(1, 5000), 0);
    t.true(process.hrtime.bigint() - started >= 5_000_000n);
    ring.close();
  }
});

test('a time limit of zero never sleeps, and finished work is still harvested', (t) => {
  for (const flags of [0, DEFERRED].filter(kernelTakes)) {
    const ring = new RawRing(addon, 4, 0, flags);
    t.is(ring.enter(1, 0), 0);
    const fd = addon.eventfd();
    const mapping = addon.memoryMap(4096, false);
    ring.push(READ, { fd, address: mapping.address, length: 8, userData: 9 });
    t.is(ring.enter(1, 0), 0);
    t.is(addon.eventfdWrite(fd), 0);
    let ready = 0;
    for (let tries = 0; ready === 0 && tries < 1000; tries += 1) ready = ring.enter(0, 0);
    t.is(ready, 1);
    t.deepEqual(ring.take(), { userData: 9, result: 8, flags: 0 });
    t.is(new DataView(mapping.memory).getUint32(0, true), 1);
    ring.close();
    addon.fileClose(fd);
    addon.memoryUnmap(mapping.memory);
  }
});

test('nothing to do costs no system call', (t) => {
  for (const flags of [0, DEFERRED].filter(kernelTakes)) {
    const ring = new RawRing(addon, 4, 0, flags);
    ring.push(NOP);
    t.is(ring.enter(1), 1);
    const calls = ring.state[1];
    t.is(ring.enter(1), 1);
    t.is(ring.enter(0), 1);
    ring.take();
    t.is(ring.enter(0), 0);
    t.is(ring.enter(1, 0), 0);
    t.is(ring.state[1], calls);
    ring.close();
  }
});

test('task-run rings get the flag that tells when entering is worth it', (t) => {
  for (const flags of [COOP_TASKRUN, DEFERRED].filter(kernelTakes)) {
    const ring = new RawRing(addon, 4, 0, flags);
    t.is(ring.ring.setupFlags & TASKRUN_FLAG, TASKRUN_FLAG);
    ring.close();
  }
  t.pass();
});

test('counts beyond the queues are refused and change nothing', (t) => {
  const ring = new RawRing(addon, 4, 8);
  const { handle } = ring.ring;
  for (const call of [
    () => addon.ringEnter(handle, 5, 0, 0, 0),
    () => addon.ringEnter(handle, -1, 0, 0, 0),
    () => addon.ringEnter(handle, Number.NaN, 0, 0, 0),
    () => addon.ringEnter(handle, 0, 0, 1, 0),
    () => addon.ringEnter(handle, 0, -1, 0, 0),
    () => addon.ringEnter(handle, 0, 0, 0, Number.NaN),
    () => addon.ringEnter(handle + 1000, 0, 0, 0, 0),
    () => addon.ringEnter(0, 0, 0, 0, 0),
  ]) {
    t.throws(call, { instanceOf: RangeError });
  }
  t.throws(() => addon.ringEnter(handle, '1' as never, 0, 0, 0), { instanceOf: TypeError });
  t.throws(() => (addon.ringEnter as (handle: number) => number)(handle), {
    instanceOf: TypeError,
  });
  ring.push(NOP, { userData: 77 });
  t.is(ring.finish(1)[0]!.userData, 77);
  ring.close();
});

test('entering by words is entering by arguments', (t) => {
  const ring = new RawRing(addon, 4, 8);
  const { enter, state: memory } = ring.ring;
  const [words, signed, floats] = [ring.state, new Int32Array(memory), new Float64Array(memory)];
  ring.push(NOP, { userData: 78 });
  words.set([1, 1, 0], 2);
  floats[3] = -1;
  enter();
  t.is(signed[5], 1);
  t.is(ring.take().userData, 78);
  words.set([0, 0, 1], 2);
  floats[3] = 0;
  enter();
  t.is(signed[5], 0);
  const calls = words[1];
  // Nothing ready, and a limit of time.
  words.set([0, 1, 0], 2);
  floats[3] = 1000;
  enter();
  t.deepEqual([signed[5], words[1]], [0, calls! + 1]);
  for (const [toSubmit, minComplete, consumed, timeoutUs] of [
    [5, 0, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, Number.NaN],
  ] as const) {
    words.set([toSubmit, minComplete, consumed], 2);
    floats[3] = timeoutUs;
    t.throws(enter, { instanceOf: RangeError });
  }
  ring.close();
  t.throws(enter, { instanceOf: RangeError, message: /open ring/ });
});

test('a burst beyond the completion queue loses nothing', (t) => {
  const ring = new RawRing(addon, 8, 8);
  const fd = addon.eventfd();
  const mapping = addon.memoryMap(4096, false);
  // 24 reads wait on one eventfd; every write lets one of them finish.
  for (let index = 0; index < 24; index += 1) {
    ring.push(READ, { fd, address: mapping.address + 8 * index, length: 8, userData: index });
    if (index % 8 === 7) ring.enter(0);
  }
  const seen = new Set<number>();
  for (let index = 0; index < 24; index += 1) addon.eventfdWrite(fd);
  for (let tries = 0; seen.size < 24 && tries < 10_000; tries += 1) {
    const ready = ring.enter(seen.size === 0 ? 8 : 0, 10_000);
    t.true(ready >= 0);
    for (let index = 0; index < ready; index += 1) {
      const { userData, result } = ring.take();
      t.is(result, 8);
      seen.add(userData);
    }
    // Reads that found the counter empty again need another write.
    if (ready === 0) addon.eventfdWrite(fd);
  }
  t.is(seen.size, 24);
  t.is(addon.ringOverflow(ring.ring.handle), 0);
  ring.close();
  addon.fileClose(fd);
  addon.memoryUnmap(mapping.memory);
});

test('registered buffers and registered files serve reads', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-ring-'));
  const file = path.join(folder, 'data');
  writeFileSync(file, 'bandstand '.repeat(1000));
  const fd = openSync(file, 'r');
  const mapping = addon.memoryMap(1 << 16, false);
  const ring = new RawRing(addon, 4);
  const { handle } = ring.ring;
  t.is(addon.ringUpdateFile(handle, 0, fd), -6); // ENXIO: no table yet.
  t.is(addon.ringRegisterFileTable(handle, 16), 0);
  t.is(addon.ringUpdateFile(handle, 5, fd), 0);
  t.is(addon.ringUpdateFile(handle, 16, fd), -22);
  const addresses = Float64Array.of(mapping.address, mapping.address + 32768);
  t.is(addon.ringRegisterBuffers(handle, addresses, Float64Array.of(32768, 32768)), 0);
  // Registering again replaces.
  t.is(addon.ringRegisterBuffers(handle, addresses, Float64Array.of(32768, 32768)), 0);
  const read = { address: mapping.address + 32768, length: 10_000, bufferIndex: 1 };
  ring.push(READ_FIXED, { ...read, fd: 5, entryFlags: FIXED_FILE });
  t.is(ring.finish(1)[0]!.result, 10_000);
  t.deepEqual(Buffer.from(mapping.memory, 32768, 10_000), readFileSync(file));
  t.is(addon.ringUpdateFile(handle, 5, -1), 0);
  ring.push(READ_FIXED, { ...read, fd: 5, entryFlags: FIXED_FILE });
  t.is(ring.finish(1)[0]!.result, -9);
  ring.close();
  addon.memoryUnmap(mapping.memory);
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test('buffers outside mapped memory cannot be registered', (t) => {
  const ring = new RawRing(addon, 4);
  const { handle } = ring.ring;
  const mapping = addon.memoryMap(8192, false);
  const register = (address: number, bytes: number) =>
    addon.ringRegisterBuffers(handle, Float64Array.of(address), Float64Array.of(bytes));
  t.throws(() => register(mapping.address, 8193), { instanceOf: RangeError });
  t.throws(() => register(4096, 4096), { instanceOf: RangeError });
  t.throws(() => addon.ringRegisterBuffers(handle, new Float64Array(0), new Float64Array(0)), {
    instanceOf: RangeError,
  });
  t.throws(
    () => addon.ringRegisterBuffers(handle, new Uint32Array(1) as never, new Float64Array(1)),
    { instanceOf: TypeError },
  );
  t.is(register(mapping.address, 8192), 0);
  ring.close();
  addon.memoryUnmap(mapping.memory);
});

test('a closed ring detaches its memory and its handle is not valid again', (t) => {
  const ring = new RawRing(addon, 4);
  const { handle, sqes, cqes, state } = ring.ring;
  ring.close();
  t.is(sqes.byteLength + cqes.byteLength + state.byteLength, 0);
  t.is(ring.sqes.length, 0);
  t.throws(() => addon.ringClose(handle), { instanceOf: RangeError });
  const other = new RawRing(addon, 4);
  t.not(other.ring.handle, handle);
  t.throws(() => addon.ringEnter(handle, 0, 0, 0, 0), { instanceOf: RangeError });
  other.close();
});

test('what the kernel refuses is an error with errno, code and syscall', (t) => {
  const error = t.throws(() => addon.ringCreate(8, 4, 0)) as NodeJS.ErrnoException;
  t.is(error.errno, 22);
  t.is(error.code, 'EINVAL');
  t.is(error.syscall, 'io_uring_setup');
  t.is(error.message, 'io_uring_setup: Invalid argument (EINVAL)');
});

test('arguments of ringCreate are checked', (t) => {
  t.throws(() => addon.ringCreate(0, 0, 0), { instanceOf: RangeError });
  t.throws(() => addon.ringCreate(1.5, 0, 0), { instanceOf: RangeError });
  t.throws(() => addon.ringCreate(8, 0, 1 << 1), { instanceOf: RangeError });
  t.throws(() => addon.ringCreate('8' as never, 0, 0), { instanceOf: TypeError });
  const clamped = addon.ringCreate(32768, 65536, CLAMP);
  t.is(clamped.sqEntries, 32768);
  addon.ringClose(clamped.handle);
});

test('more rings than a thread may register for fast entry still work', (t) => {
  const flags = [DEFERRED, SINGLE_ISSUER, 0].find(kernelTakes)!;
  const rings = Array.from({ length: 20 }, () => new RawRing(addon, 2, 0, flags));
  for (const [index, ring] of rings.entries()) {
    ring.push(NOP, { userData: index });
    t.is(ring.finish(1)[0]!.userData, index);
  }
  for (const ring of rings) ring.close();
});
