import test from 'ava';
import { Arena, BufferPool } from '../../src/block/arena.ts';
import { BandstandError } from '../../src/block/errors.ts';

const make = (bytes: number) => new Arena(new ArrayBuffer(bytes), 0);

test('allocations are aligned and do not overlap', (t) => {
  const arena = make(1 << 20);
  const ranges = [100, 4096, 5000, 1, 64, 8192].map((bytes) => ({
    at: arena.allocate(bytes),
    bytes,
  }));
  for (const range of ranges) t.is(range.at & 4095, 0);
  const sorted = [...ranges].sort((a, b) => a.at - b.at);
  for (let index = 1; index < sorted.length; index += 1) {
    t.true(sorted[index - 1]!.at + sorted[index - 1]!.bytes <= sorted[index]!.at);
  }
});

test('released ranges merge, so that the whole arena can be allocated again', (t) => {
  const arena = make(1 << 20);
  const at = Array.from({ length: 16 }, () => arena.allocate(1 << 16));
  t.is(arena.freeBytes, 0);
  for (const index of [3, 1, 2, 0, 15, 13, 14, 7, 5, 6, 4, 8, 12, 10, 9, 11]) {
    arena.release(at[index]!, 1 << 16);
  }
  t.is(arena.freeBytes, 1 << 20);
  t.is(arena.allocate(1 << 20), 0);
});

test('an arena that is too full says how much was asked and how much is free', (t) => {
  const arena = make(1 << 16);
  arena.allocate(1 << 15);
  const error = t.throws(() => arena.allocate(1 << 16), { instanceOf: BandstandError });
  t.is(error.code, 'BANDSTAND_ARENA_FULL');
  t.is(error.message, 'cannot reserve 65536 bytes of buffer memory: 32768 of 65536 bytes are free');
});

test('releasing a range twice breaks an invariant', (t) => {
  const arena = make(1 << 16);
  const at = arena.allocate(4096);
  arena.release(at, 4096);
  t.throws(() => arena.release(at, 4096), { message: /released once/ });
});

test('random allocations and releases never overlap and never leak', (t) => {
  const arena = make(1 << 20);
  const live = new Map<number, number>();
  let state = 12345;
  const random = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % limit;
  };
  for (let step = 0; step < 5000; step += 1) {
    if (live.size > 0 && random(2) === 0) {
      const at = [...live.keys()][random(live.size)]!;
      arena.release(at, live.get(at)!);
      live.delete(at);
      continue;
    }
    const bytes = 1 + random(20000);
    let at: number;
    try {
      at = arena.allocate(bytes, 512 << random(4));
    } catch (error) {
      t.true(error instanceof BandstandError);
      continue;
    }
    for (const [other, length] of live) {
      if (at < other + length && other < at + bytes) t.fail(`overlap at step ${step}`);
    }
    live.set(at, bytes);
  }
  for (const [at, bytes] of live) arena.release(at, bytes);
  t.is(arena.freeBytes, 1 << 20);
});

test('a buffer pool hands out each buffer once and gives its memory back', (t) => {
  const arena = make(1 << 20);
  const pool = new BufferPool(arena, 6000, 8);
  const buffers = new Set<number>();
  for (let index = 0; index < 8; index += 1) buffers.add(pool.take());
  t.is(buffers.size, 8);
  t.is(pool.take(), -1);
  for (const buffer of buffers) {
    t.is(buffer & 4095, 0);
    pool.give(buffer);
  }
  t.throws(() => pool.give(0), { message: /given back once/ });
  pool.dispose();
  t.is(arena.freeBytes, 1 << 20);
});

test('a reserved range is not allocated, and can be given back', (t) => {
  const arena = make(1 << 16);
  arena.reserve(1 << 15, 4096);
  t.is(arena.freeBytes, (1 << 16) - 4096);
  t.is(arena.allocate(1 << 15), 0);
  t.is(arena.allocate(4096), (1 << 15) + 4096);
  arena.release(1 << 15, 4096);
  t.is(arena.allocate(4096), 1 << 15);
});

test('reserving the whole arena, its beginning or its end leaves no empty ranges', (t) => {
  for (const [at, bytes] of [
    [0, 1 << 16],
    [0, 4096],
    [(1 << 16) - 4096, 4096],
  ] as const) {
    const arena = make(1 << 16);
    arena.reserve(at, bytes);
    t.is(arena.freeBytes, (1 << 16) - bytes);
    arena.release(at, bytes);
    t.is(arena.allocate(1 << 16), 0);
  }
});

test('reserving what is not free breaks an invariant', (t) => {
  const arena = make(1 << 16);
  arena.reserve(4096, 4096);
  for (const [at, bytes] of [
    [4096, 64],
    [0, 8192],
    [8128, 128],
    [1 << 16, 64],
    [61_440, 8192],
  ] as const) {
    t.throws(() => arena.reserve(at, bytes), { message: /is free/ }, `${at}`);
  }
  t.throws(() => arena.reserve(1, 64), { message: /multiples of 64/ });
});
