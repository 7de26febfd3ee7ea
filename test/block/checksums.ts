import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { crc32c, crc32cAround, crc32cRaw } from '../../src/block/crc32c.ts';
import { PortableKernels } from '../../src/block/portable-kernels.ts';
import { formatUuid, makeUuid, parseUuid, uuidBytes } from '../../src/block/uuid.ts';

const ascii = (text: string) => new TextEncoder().encode(text);

test('CRC-32C gives the published check value', (t) => {
  t.is(crc32c(ascii('123456789')), 0xe3069283);
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa);
  t.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
});

test('the raw form with seed 0 gives the values of the SPDK superblock', (t) => {
  t.is(crc32cRaw(0, ascii('123456789')), 0x58e3fa20);
  t.is(crc32cRaw(0, new Uint8Array(32).fill(0xff)), 0xe8399de9);
  t.is(crc32cRaw(0, new Uint8Array(4096)), 0);
});

test('a raw checksum continues over pieces', (t) => {
  const bytes = ascii('the quick brown fox jumps over the lazy dog');
  const whole = crc32cRaw(7, bytes);
  t.is(crc32cRaw(crc32cRaw(7, bytes, 0, 11), bytes, 11), whole);
});

test('a structure is summed up as if its checksum were zero', (t) => {
  const bytes = ascii('123456789....123456789');
  const blank = bytes.slice();
  blank.fill(0, 9, 13);
  for (const start of [0, 5]) {
    const view = bytes.subarray(start);
    t.is(crc32cAround(view, 9 - start), crc32c(blank.subarray(start)));
  }
});

test('portable kernels refuse ranges outside the arena', (t) => {
  const arena = new Arena(new ArrayBuffer(8192), 0);
  const kernels = new PortableKernels(arena);
  t.throws(() => kernels.zero(8000, 193), { instanceOf: RangeError });
  t.throws(() => kernels.copy(0, -1, 10), { instanceOf: RangeError });
  t.throws(() => kernels.xor(0, Uint32Array.of(8192), 1, 1), { instanceOf: RangeError });
  t.throws(() => kernels.crc32c(0, 8193), { instanceOf: RangeError });
});

test('XOR of any sources is undone by XOR with all but one of them', (t) => {
  const arena = new Arena(new ArrayBuffer(1 << 16), 0);
  const kernels = new PortableKernels(arena);
  for (let index = 0; index < 4 * 777; index += 1) arena.u8[index] = (index * 131) ^ (index >> 3);
  const first = arena.u8.slice(0, 777);
  kernels.xor(8000, Uint32Array.of(0, 777, 1554, 2331), 4, 777);
  kernels.xor(9000, Uint32Array.of(8000, 777, 1554, 2331), 4, 777);
  t.deepEqual(arena.u8.slice(9000, 9777), first);
  kernels.copy(20000, 9000, 777);
  t.true(kernels.equal(20000, 0, 777));
  arena.u8[20776]! ^= 1;
  t.false(kernels.equal(20000, 0, 777));
  kernels.zero(20000, 777);
  t.true(kernels.isZero(20000, 777));
});

test('UUIDs round-trip and keep their version and variant', (t) => {
  const uuid = makeUuid(Uint8Array.from({ length: 16 }, (_, index) => index * 17));
  t.is(uuid, '00112233-4455-4677-8899-aabbccddeeff');
  t.is(formatUuid(uuidBytes(uuid)), uuid);
  t.is(parseUuid(uuid.toUpperCase()), uuid);
  t.is(parseUuid('00112233445546778899aabbccddeeff'), null);
  t.throws(() => uuidBytes('tank'), { instanceOf: TypeError });
});
