import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { EACCES, EIO, ENOSPC } from '../../src/block/status.ts';
import { loadAddon } from '../../src/native/load.ts';
import { SurvivingFile } from '../../src/reactor/surviving-file.ts';
import { ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { openRingReactor, result } from '../_helpers/ring-reactor.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
const BYTES = 4 * MIB;
const CHILD = path.join(ROOT, 'test/_fixtures/surviving-child.ts');
const native = loadAddon();
const shm = requires('/dev/shm');

/** A folder in memory that goes with the test. */
function folderFor(t: ExecutionContext): string {
  const folder = mkdtempSync('/dev/shm/bandstand-surviving-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const fileFor = (t: ExecutionContext) => path.join(folderFor(t), 'tank.memory');

/** Starts a process that has the memory and waits; gives what it says about it. */
async function start(t: ExecutionContext, ...args: readonly string[]) {
  const child = spawn(process.execPath, ['--import=tsx', CHILD, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  return { child, found: JSON.parse(line) as Record<string, unknown> };
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function refusal(t: ExecutionContext, file: string, bytes = BYTES, addon = native): BandstandError {
  return t.throws(() => SurvivingFile.open(addon, { path: file, bytes }), {
    instanceOf: BandstandError,
  })!;
}

shm('what a killed process had in its memory is found by the next one', async (t) => {
  const file = fileFor(t);
  const data = path.join(path.dirname(file), 'data');
  writeFileSync(data, Buffer.alloc(4096, 'disk '));
  const first = await start(t, file, `${BYTES}`, 'fill', data);
  t.like(first.found, { isAdopted: false, bytes: BYTES, arena_registered: true, first: 0 });
  t.is(statSync(file).mode & 0o777, 0o600);
  await kill(first.child);
  const reactor = openRingReactor({ surviving: { path: file, bytes: BYTES } });
  const memory = reactor.surviving!;
  t.true(memory.isAdopted);
  const { u8 } = reactor.arena;
  sameBytes(t, u8.subarray(memory.at, memory.at + 8192), Buffer.alloc(8192, 0x5a));
  const fromRing = u8.subarray(memory.at + 8192, memory.at + 12_288);
  sameBytes(t, fromRing, Buffer.alloc(4096, 'disk '));
  t.is(u8[memory.at + memory.bytes - 1], 0x77);
  memory.discard();
  t.false(existsSync(file));
  await reactor.close();
});

shm('memory survives any number of deaths, and a close without a discard', async (t) => {
  const file = fileFor(t);
  const data = path.join(path.dirname(file), 'data');
  writeFileSync(data, Buffer.alloc(4096));
  await kill((await start(t, file, `${BYTES}`, 'fill', data)).child);
  for (let death = 0; death < 2; death += 1) {
    const { child, found } = await start(t, file, `${BYTES}`, 'look');
    t.like(found, { isAdopted: true, first: 0x5a5a5a5a });
    await kill(child);
  }
  for (let stop = 0; stop < 2; stop += 1) {
    const reactor = openRingReactor({ surviving: { path: file, bytes: BYTES } });
    t.is(reactor.arena.u32[reactor.surviving!.at / 4], 0x5a5a5a5a);
    await reactor.close();
  }
});

shm('what was discarded is not found, even when the process dies after that', async (t) => {
  const file = fileFor(t);
  const { child } = await start(t, file, `${BYTES}`, 'discard');
  t.false(existsSync(file));
  await kill(child);
  const reactor = openRingReactor({ surviving: { path: file, bytes: BYTES } });
  t.false(reactor.surviving!.isAdopted);
  t.true(reactor.kernels.isZero(reactor.surviving!.at, BYTES));
  reactor.surviving!.discard();
  reactor.surviving!.discard();
  await reactor.close();
});

shm('a second server is refused while the first one runs, and leaves it in peace', async (t) => {
  const file = fileFor(t);
  const { child } = await start(t, file, `${BYTES}`, 'look');
  const error = refusal(t, file);
  t.is(error.code, 'BANDSTAND_SURVIVING_BUSY');
  t.is(error.message, `cannot use the surviving memory ${file}: another server has it`);
  t.true(existsSync(file));
  await kill(child);
  SurvivingFile.open(native, { path: file, bytes: BYTES }).close();
});

shm('a discard does not remove what another server has made under the name', (t) => {
  const file = fileFor(t);
  const old = SurvivingFile.open(native, { path: file, bytes: BYTES });
  rmSync(file);
  const young = SurvivingFile.open(native, { path: file, bytes: BYTES });
  old.discard();
  t.true(existsSync(file));
  young.discard();
  t.false(existsSync(file));
  old.close();
  young.close();
});

shm('a name that changes hands while it is being locked is tried again', (t) => {
  const file = fileFor(t);
  let locks = 0;
  const replaced = {
    ...native,
    fileLock(fd: number, exclusive: boolean) {
      locks += 1;
      if (locks === 1) rmSync(file);
      return native.fileLock(fd, exclusive);
    },
  };
  const memory = SurvivingFile.open(replaced, { path: file, bytes: BYTES });
  t.is(locks, 2);
  memory.discard();
  t.false(existsSync(file));
  memory.close();
  const never = {
    ...native,
    fileLock(fd: number, exclusive: boolean) {
      rmSync(file);
      return native.fileLock(fd, exclusive);
    },
  };
  t.is(refusal(t, file, BYTES, never).code, 'BANDSTAND_SURVIVING_BUSY');
});

shm('memory that is found keeps its size, new memory has whole units of 2 MiB', async (t) => {
  const file = fileFor(t);
  const first = openRingReactor({ surviving: { path: file, bytes: 5 * MIB } });
  t.is(first.surviving!.bytes, 6 * MIB);
  await first.close();
  const second = openRingReactor({ surviving: { path: file, bytes: 2 * MIB } });
  t.is(second.surviving!.bytes, 6 * MIB);
  t.is(second.arena.bytes, 22 * MIB);
  await second.close();
});

shm('surviving memory is no part of what the arena gives away', async (t) => {
  const options = { arenaBytes: 3 * MIB, surviving: { path: fileFor(t), bytes: BYTES } };
  const reactor = openRingReactor(options);
  const { arena, surviving } = reactor;
  t.is(surviving!.at, BYTES);
  while (arena.freeBytes > 0) {
    const bytes = Math.min(2 ** 16, arena.freeBytes);
    t.true(arena.allocate(bytes, 64) + bytes <= BYTES);
  }
  surviving!.discard();
  await reactor.close();
});

shm('the ring moves bytes across the border between the two kinds of memory', async (t) => {
  const file = fileFor(t);
  const data = path.join(path.dirname(file), 'data');
  writeFileSync(data, '');
  const reactor = openRingReactor({ surviving: { path: file, bytes: BYTES }, hugePages: true });
  t.true(reactor.stats.arena_registered);
  const { arena, surviving } = reactor;
  const at = surviving!.at - 4096;
  for (let byte = 0; byte < 8192; byte += 1) arena.u8[at + byte] = byte ^ (byte >> 8);
  const sum = reactor.kernels.crc32c(at, 8192);
  const fd = native.fileOpen(data, constants.O_RDWR, 0);
  const slot = reactor.registerFile(fd);
  const write = result(reactor, (handler) => reactor.writeAt(slot, 0, at, 8192, 0, handler, 0));
  t.is(await reactor.drive(write), 8192);
  reactor.kernels.zero(at, 8192);
  const read = result(reactor, (handler) => reactor.readAt(slot, 0, at, 8192, handler, 0));
  t.is(await reactor.drive(read), 8192);
  t.is(reactor.kernels.crc32c(at, 8192), sum);
  reactor.unregisterFile(slot);
  native.fileClose(fd);
  surviving!.discard();
  await reactor.close();
});

shm('all of the memory is allocated before it is used', (t) => {
  const file = fileFor(t);
  const memory = SurvivingFile.open(native, { path: file, bytes: BYTES });
  t.true(statSync(file).blocks * 512 >= BYTES);
  memory.close();
  truncateSync(file, 0);
  truncateSync(file, BYTES);
  t.is(statSync(file).blocks, 0);
  SurvivingFile.open(native, { path: file, bytes: BYTES }).close();
  t.true(statSync(file).blocks * 512 >= BYTES);
});

shm('no room is an error that says how much was needed, and leaves nothing behind', (t) => {
  const file = fileFor(t);
  const full = { ...native, fileAllocate: () => -ENOSPC };
  const error = refusal(t, file, BYTES, full);
  t.is(error.code, 'BANDSTAND_SURVIVING_FULL');
  t.is(
    error.message,
    `cannot use the surviving memory ${file}: no room for 4194304 bytes in that file system`,
  );
  t.regex(error.hint!, /^make room/);
  t.false(existsSync(file));
});

shm('no room for what an earlier server has left does not remove it', (t) => {
  const file = fileFor(t);
  SurvivingFile.open(native, { path: file, bytes: BYTES }).close();
  const full = { ...native, fileAllocate: () => -ENOSPC };
  t.is(refusal(t, file, BYTES, full).code, 'BANDSTAND_SURVIVING_FULL');
  t.is(statSync(file).size, BYTES);
});

shm('an empty file of a server that died while it made it counts as new', (t) => {
  const file = fileFor(t);
  writeFileSync(file, '', { mode: 0o600 });
  const memory = SurvivingFile.open(native, { path: file, bytes: BYTES });
  t.false(memory.isAdopted);
  memory.close();
});

shm('a file that others could have prepared or can open is refused', (t) => {
  const folder = folderFor(t);
  const good = path.join(folder, 'good');
  SurvivingFile.open(native, { path: good, bytes: BYTES }).close();
  const cases: Record<string, readonly [RegExp, (file: string) => void]> = {
    link: [/it is a symbolic link$/, (file) => symlinkSync(good, file)],
    folder: [/it is a directory$/, (file) => mkdirSync(file)],
    names: [/it has 2 names$/, (file) => linkSync(good, file)],
    open: [
      /others may open it \(mode 0640\)$/,
      (file) => {
        writeFileSync(file, Buffer.alloc(BYTES));
        chmodSync(file, 0o640);
      },
    ],
    size: [
      /no server makes one of 5000 bytes$/,
      (file) => writeFileSync(file, Buffer.alloc(5000), { mode: 0o600 }),
    ],
    large: [
      /no server makes one of 1075838976 bytes$/,
      (file) => {
        writeFileSync(file, '', { mode: 0o600 });
        truncateSync(file, 2 ** 30 + 2 * MIB);
      },
    ],
  };
  for (const [name, [reason, prepare]] of Object.entries(cases)) {
    const file = path.join(folder, name);
    prepare(file);
    const error = refusal(t, file);
    t.is(error.code, 'BANDSTAND_SURVIVING_UNUSABLE', name);
    t.regex(error.message, reason);
    t.true(existsSync(file), name);
  }
});

requires('/dev/shm', 'root')('a file of another user is refused', (t) => {
  const file = fileFor(t);
  writeFileSync(file, Buffer.alloc(BYTES), { mode: 0o600 });
  chownSync(file, 12_345, 12_345);
  t.regex(refusal(t, file).message, /it belongs to user 12345, not to 0$/);
  t.true(existsSync(file));
});

requires('a disk for temporary files')('a file on a disk is refused and removed', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-surviving-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'tank.memory');
  t.regex(refusal(t, file).message, /it is not on a file system in memory \(tmpfs\)$/);
  t.false(existsSync(file));
});

requires('/dev/shm', 'mkfifo')('a pipe is refused, and nobody waits for its other end', (t) => {
  const file = fileFor(t);
  execFileSync('mkfifo', ['-m', '600', file]);
  t.regex(refusal(t, file).message, /it is not a regular file$/);
  t.true(existsSync(file));
});

shm('an errno is an error that says it in words where there are any', (t) => {
  const file = fileFor(t);
  const answering = (errno: number) => ({ ...native, fileOpen: () => -errno });
  t.regex(refusal(t, file, BYTES, answering(EACCES)).message, /: permission denied$/);
  t.regex(refusal(t, file, BYTES, answering(EIO)).message, /: EIO$/);
  const locking = { ...native, fileLock: () => -EIO };
  t.like(refusal(t, file, BYTES, locking), { code: 'BANDSTAND_SURVIVING_UNUSABLE' });
  const allocating = { ...native, fileAllocate: () => -EIO };
  t.regex(refusal(t, file, BYTES, allocating).message, /: no memory for it: EIO$/);
});

shm('memory that cannot be placed is let go, as it was', (t) => {
  const file = fileFor(t);
  const refusing = {
    ...native,
    memoryPlaceFile() {
      throw new Error('mmap: out of memory');
    },
  };
  const options = { native: refusing, surviving: { path: file, bytes: BYTES } };
  const mappings = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
  const before = mappings();
  for (let attempt = 0; attempt < 50; attempt += 1) {
    t.throws(() => openRingReactor(options), { message: 'mmap: out of memory' });
  }
  t.true(mappings() - before < 40);
  SurvivingFile.open(native, { path: file, bytes: BYTES }).close();
});

shm('a folder that does not exist is an error that says so', (t) => {
  const error = refusal(t, path.join(folderFor(t), 'none', 'tank.memory'));
  t.is(error.code, 'BANDSTAND_SURVIVING_UNUSABLE');
  t.regex(error.message, /its folder does not exist$/);
});

shm('more than an arena can have is refused before anything is mapped, and let go', (t) => {
  const file = fileFor(t);
  const options = { arenaBytes: 2 ** 31, surviving: { path: file, bytes: BYTES } };
  const error = t.throws(() => openRingReactor(options), { instanceOf: BandstandError });
  t.is(error.code, 'BANDSTAND_ARENA_FULL');
  SurvivingFile.open(native, { path: file, bytes: BYTES }).close();
});
