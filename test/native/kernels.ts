import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import type { Kernels } from '../../src/block/kernels.ts';
import { PortableKernels } from '../../src/block/portable-kernels.ts';
import { loadAddon } from '../../src/native/load.ts';
import { NativeKernels } from '../../src/reactor/native-kernels.ts';

const addon = loadAddon();
const ARENA_BYTES = 1 << 19;
const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20260721);

/** mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

/** The same random bytes twice: once under the kernels of the addon, once under the oracle. */
class Pair {
  readonly mapping = addon.memoryMap(ARENA_BYTES, false);
  readonly native: Kernels;
  readonly oracle: Kernels;
  readonly bytes: Uint8Array;
  readonly expected: Uint8Array;

  constructor(random: (below: number) => number) {
    const arena = new Arena(this.mapping.memory, this.mapping.address);
    const mirror = new Arena(new ArrayBuffer(ARENA_BYTES), 0);
    this.native = new NativeKernels(addon, arena);
    this.oracle = new PortableKernels(mirror);
    this.bytes = arena.u8;
    this.expected = mirror.u8;
    for (let index = 0; index < ARENA_BYTES / 4; index += 1) arena.u32[index] = random(2 ** 32);
    mirror.u8.set(arena.u8);
  }

  /** Byte for byte, so that a write beside the target is noticed too. */
  get same(): boolean {
    return Buffer.compare(this.bytes, this.expected) === 0;
  }

  release(): void {
    addon.memoryUnmap(this.mapping.memory);
  }
}

const { hotKernels } = addon;
const hotWords = new Float64Array(hotKernels.words);

function byWords(kernel: Exclude<keyof typeof hotKernels, 'words'>, ...numbers: number[]): void {
  hotWords.set(numbers);
  hotKernels[kernel]();
}

/** Mostly small and odd, sometimes a size that data has, sometimes long. */
function someLength(random: (below: number) => number, most: number): number {
  const kind = random(4);
  if (kind === 0) return random(300);
  if (kind === 1) return Math.min(most, 512 << random(4));
  return random(kind === 2 ? 5000 : most);
}

for (const selection of ['auto', 'portable'] as const) {
  test.serial(`${selection}: XOR of 1 to 40 sources equals the oracle`, (t) => {
    t.log(`seed ${SEED}`);
    const random = generator(SEED);
    const pair = new Pair(random);
    addon.kernelSelect(selection);
    for (let round = 0; round < 250; round += 1) {
      const count = 1 + random(round % 10 === 0 ? 40 : 9);
      const region = Math.floor(ARENA_BYTES / (count + 1));
      const bytes = someLength(random, Math.min(region, 20_000));
      const at = (index: number) => index * region + random(region - bytes + 1);
      const sources = Uint32Array.from({ length: count + random(3) }, (_, index) =>
        index < count ? at(index) : 0xffffffff,
      );
      const target = random(3) === 0 ? sources[random(count)]! : at(count);
      pair.native.xor(target, sources, count, bytes);
      pair.oracle.xor(target, sources, count, bytes);
      if (!pair.same) return t.fail(`round ${round}: ${count} sources of ${bytes} bytes`);
    }
    pair.release();
    t.pass();
  });

  test.serial(`${selection}: checksums equal the oracle at every length and alignment`, (t) => {
    t.log(`seed ${SEED}`);
    const random = generator(SEED + 1);
    const pair = new Pair(random);
    addon.kernelSelect(selection);
    // Every length around the borders of the three-way loop, then random ones.
    for (let bytes = 0; bytes < 700; bytes += 1) {
      const at = random(64);
      t.is(pair.native.crc32c(at, bytes), pair.oracle.crc32c(at, bytes), `${bytes} at ${at}`);
    }
    for (let round = 0; round < 300; round += 1) {
      const bytes = someLength(random, 60_000);
      const at = random(ARENA_BYTES - bytes + 1);
      const seed = random(2 ** 32);
      const expected = pair.oracle.crc32cRaw(seed, at, bytes);
      t.is(pair.native.crc32cRaw(seed, at, bytes), expected, `${bytes} at ${at}, seed ${seed}`);
    }
    t.is(pair.native.crc32c(0, ARENA_BYTES), pair.oracle.crc32c(0, ARENA_BYTES));
    pair.release();
  });

  test.serial(`${selection}: a copy with checksum copies, and equals the oracle`, (t) => {
    t.log(`seed ${SEED}`);
    const random = generator(SEED + 3);
    const pair = new Pair(random);
    const half = ARENA_BYTES / 2;
    addon.kernelSelect(selection);
    for (let round = 0; round < 500; round += 1) {
      const bytes = round < 250 ? round : someLength(random, 30_000);
      const from = random(half - bytes + 1);
      const to = half + random(half - bytes + 1);
      const seed = random(2 ** 32);
      const expected = pair.oracle.copyCrc32cRaw(seed, to, from, bytes);
      const given = pair.native.copyCrc32cRaw(seed, to, from, bytes);
      t.is(given, expected, `${bytes} from ${from} to ${to}, seed ${seed}`);
      if (!pair.same) return t.fail(`round ${round}: ${bytes} bytes from ${from} to ${to}`);
    }
    pair.release();
    return undefined;
  });

  test.serial(`${selection}: checksums give the published values`, (t) => {
    const pair = new Pair(generator(SEED));
    addon.kernelSelect(selection);
    pair.bytes.set(new TextEncoder().encode('123456789'));
    t.is(pair.native.crc32c(0, 9), 0xe3069283);
    t.is(pair.native.crc32cRaw(0, 0, 9), 0x58e3fa20);
    t.is(pair.native.crc32cRaw(pair.native.crc32cRaw(0, 0, 4), 4, 5), 0x58e3fa20);
    pair.bytes.fill(0xff, 100, 132);
    t.is(pair.native.crc32cRaw(0, 100, 32), 0xe8399de9);
    t.is(pair.native.crc32c(100, 32), 0x62a8ab43);
    pair.bytes.fill(0, 4096, 8192);
    t.is(pair.native.crc32cRaw(0, 4096, 4096), 0);
    t.is(pair.native.crc32c(4096, 32), 0x8a9136aa);
    pair.release();
  });

  test.serial(`${selection}: copy, zero, isZero and equal match the oracle`, (t) => {
    t.log(`seed ${SEED}`);
    const random = generator(SEED + 2);
    const pair = new Pair(random);
    const { native, oracle } = pair;
    addon.kernelSelect(selection);
    for (let round = 0; round < 250; round += 1) {
      const half = ARENA_BYTES / 2;
      const bytes = someLength(random, 30_000);
      const from = random(half - bytes + 1);
      const to = half + random(half - bytes + 1);
      for (const kernels of [native, oracle]) kernels.copy(to, from, bytes);
      t.true(native.equal(from, to, bytes));
      if (bytes > 0) {
        const changed = to + random(bytes);
        for (const memory of [pair.bytes, pair.expected]) memory[changed]! ^= 1 << (round & 7);
        t.false(native.equal(from, to, bytes));
        t.is(native.equal(from, changed, 1), oracle.equal(from, changed, 1));
      }
      for (const kernels of [native, oracle]) kernels.zero(to, bytes);
      t.true(native.isZero(to, bytes));
      if (bytes > 0) {
        const set = to + random(bytes);
        for (const memory of [pair.bytes, pair.expected]) memory[set] = 1 << (round & 7);
        t.false(native.isZero(to, bytes));
        t.true(native.isZero(to, set - to));
        t.true(native.isZero(set + 1, to + bytes - set - 1));
      }
      if (!pair.same) return t.fail(`round ${round}: ${bytes} bytes from ${from} to ${to}`);
    }
    pair.release();
    return undefined;
  });
}

test.serial('the kernels say which they are', (t) => {
  addon.kernelSelect('portable');
  t.is(addon.kernelName(), 'portable');
  addon.kernelSelect('auto');
  t.true(['avx2+sse4.2', 'portable'].includes(addon.kernelName()));
  t.throws(() => addon.kernelSelect('fastest' as never), { instanceOf: TypeError });
});

test.serial('ranges outside mapped memory are refused by every kernel', (t) => {
  const { memory, address } = addon.memoryMap(8192, false);
  const one = Float64Array.of(address);
  hotWords[8] = address;
  const bad: [at: number, bytes: number][] = [
    [address - 1, 2],
    [address, 8193],
    [address + 8192, 1],
    [address + 8193, 0],
    [address, -1],
    [address, 0.5],
    [address + 0.5, 1],
    [address, Number.NaN],
    [Number.NaN, 1],
    [-address, 1],
    [0, 1],
    [Number.POSITIVE_INFINITY, 1],
    [address, Number.MAX_SAFE_INTEGER],
    [address, 2 ** 53],
    [2 ** 53 - 1, 2 ** 53 - 1],
  ];
  for (const [at, bytes] of bad) {
    const calls = [
      () => addon.crc32c(at, bytes),
      () => addon.crc32cRaw(0, at, bytes),
      () => addon.zero(at, bytes),
      () => addon.isZero(at, bytes),
      () => addon.copyCrc32cRaw(0, at, address, bytes),
      () => addon.copyCrc32cRaw(0, address, at, bytes),
      () => addon.copy(at, address, bytes),
      () => addon.copy(address, at, bytes),
      () => addon.equal(at, address, bytes),
      () => addon.equal(address, at, bytes),
      () => addon.xor(at, one, 1, bytes),
      () => addon.xor(address, Float64Array.of(address, at), 2, bytes),
      () => byWords('xor', at, 1, bytes),
      () => byWords('crc32cRaw', 0, at, bytes),
      () => byWords('copyCrc32cRaw', 0, at, address, bytes),
      () => byWords('copyCrc32cRaw', 0, address, at, bytes),
      () => byWords('copy', at, address, bytes),
      () => byWords('copy', address, at, bytes),
      () => byWords('zero', at, bytes),
    ];
    for (const call of calls) t.throws(call, { instanceOf: RangeError }, `${at}, ${bytes}`);
  }
  t.true(addon.isZero(address, 8192));
  t.true(addon.isZero(address + 8192, 0));
  addon.memoryUnmap(memory);
  t.throws(() => addon.isZero(address, 1), { instanceOf: RangeError });
});

test.serial('two mappings are two ranges, even when they are neighbours', (t) => {
  const mappings = Array.from({ length: 32 }, () => addon.memoryMap(4096, false));
  const addresses = new Set(mappings.map(({ address }) => address));
  for (const { address } of mappings) {
    t.true(addon.isZero(address, 4096));
    t.throws(() => addon.isZero(address, 4097), { instanceOf: RangeError });
    if (addresses.has(address + 4096)) {
      t.throws(() => addon.zero(address, 8192), { instanceOf: RangeError });
    }
  }
  for (const { memory } of mappings) addon.memoryUnmap(memory);
});

test.serial('wrong arguments of XOR are refused', (t) => {
  const { memory, address } = addon.memoryMap(4096, false);
  const one = Float64Array.of(address);
  t.throws(() => addon.xor(address, one, 0, 16), { instanceOf: RangeError });
  t.throws(() => addon.xor(address, one, 2, 16), { instanceOf: RangeError });
  t.throws(() => addon.xor(address, one, Number.NaN, 16), { instanceOf: RangeError });
  t.throws(() => addon.xor(address, new Float64Array(257).fill(address), 257, 16), {
    instanceOf: RangeError,
  });
  addon.xor(address, new Float64Array(256).fill(address), 256, 16);
  t.throws(() => addon.xor(address, Uint32Array.of(0) as never, 1, 16), { instanceOf: TypeError });
  t.throws(() => addon.xor(address, [address] as never, 1, 16), { instanceOf: TypeError });
  t.throws(() => addon.crc32cRaw(2 ** 32, address, 1), { instanceOf: RangeError });
  t.throws(() => addon.copyCrc32cRaw(-1, address, address, 0), { instanceOf: RangeError });
  t.throws(() => addon.crc32c('0' as never, 1), { instanceOf: TypeError });
  hotWords.fill(address, 8);
  for (const count of [0, 257, Number.NaN]) {
    t.throws(() => byWords('xor', address, count, 16), { instanceOf: RangeError }, `${count}`);
  }
  byWords('xor', address, 256, 16);
  t.throws(() => byWords('crc32cRaw', 2 ** 32, address, 1), { instanceOf: RangeError });
  t.throws(() => byWords('copyCrc32cRaw', -1, address, address, 0), { instanceOf: RangeError });
  addon.memoryUnmap(memory);
});
