import test from 'ava';
import type { Superblock } from '../../src/raid/superblock.ts';
import { GOLDEN, patched, refusal, UUIDS } from '../_helpers/golden-superblock.ts';

const refuses = test.macro({
  exec(
    t,
    patch: (view: DataView, bytes: Uint8Array) => void,
    code: string,
    field: string,
    why: string,
    of: Superblock = GOLDEN,
  ) {
    t.deepEqual(refusal(patched(patch, of)), {
      code: `BANDSTAND_SUPERBLOCK_${code}`,
      field,
      message: `cannot use the superblock on /dev/sdx: ${field}: ${why}`,
    });
  },
  title: (name = '') => `refuses ${name}`,
});

const RAID0: Superblock = {
  ...GOLDEN,
  level: 'raid0',
  stripBlocks: 128,
  raidSize: 2 * 126976,
};

test(
  'a signature',
  refuses,
  (view) => view.setUint8(0, 0x73),
  'SIGNATURE',
  'signature',
  'is not SPDKRAID',
);
test(
  'a major version',
  refuses,
  (view) => view.setUint16(8, 2, true),
  'VERSION',
  'version_major',
  'version 2.0 is not supported, only 1.x',
);
test(
  'a length',
  refuses,
  (view) => view.setUint32(12, 320, true),
  'LENGTH',
  'length',
  '320 bytes do not hold a header and 2 entries, which take 384',
);
test(
  'a length beyond what is there',
  refuses,
  (view) => {
    view.setUint8(255, 3);
    view.setUint8(136, 3);
    view.setUint32(12, 448, true);
  },
  'LENGTH',
  'length',
  '448 bytes are more than the 384 there',
);
test(
  'flags',
  refuses,
  (view) => view.setUint32(20, 4, true),
  'INVALID',
  'flags',
  '0x00000004 holds unknown flags',
);
test(
  'a null uuid',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 24, 40);
  },
  'INVALID',
  'uuid',
  'is all zeroes',
);
test(
  'an empty name',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 40, 104);
  },
  'INVALID',
  'name',
  'is empty',
);
test(
  'a name without end',
  refuses,
  (_view, bytes) => {
    bytes.fill(0x61, 40, 104);
  },
  'INVALID',
  'name',
  'is not terminated by a NUL',
);
test(
  'a name with a tail',
  refuses,
  (_view, bytes) => {
    bytes[103] = 1;
  },
  'INVALID',
  'name',
  'has bytes after its terminating NUL',
);
test(
  'a name that is not UTF-8',
  refuses,
  (_view, bytes) => {
    bytes[41] = 0xff;
  },
  'INVALID',
  'name',
  'is not valid UTF-8',
);
test(
  'an array of 0 blocks',
  refuses,
  (view) => view.setBigUint64(104, 0n, true),
  'INVALID',
  'raid_size',
  'is 0 blocks',
);
test(
  'an array beyond 2^53',
  refuses,
  (view) => view.setBigUint64(104, 2n ** 63n, true),
  'INVALID',
  'raid_size',
  '9223372036854775808 blocks are beyond 2^53',
);
test(
  'an array of another size',
  refuses,
  (view) => view.setBigUint64(104, 126975n, true),
  'INVALID',
  'raid_size',
  '126975 blocks, but raid1 over these members has 126976',
);
test(
  'a block size',
  refuses,
  (view) => view.setUint32(112, 1024, true),
  'INVALID',
  'block_size',
  '1024 is neither 512 nor 4096',
);
test(
  'a level',
  refuses,
  (view) => view.setUint32(116, 6, true),
  'INVALID',
  'level',
  '6 is unknown',
);
test(
  'a strip of raid1',
  refuses,
  (view) => view.setUint32(120, 8, true),
  'INVALID',
  'strip_size',
  '8 blocks, but raid1 has no strips',
);
test(
  'no strip of raid0',
  refuses,
  (view) => view.setUint32(120, 0, true),
  'INVALID',
  'strip_size',
  '0 blocks are not a power of two',
  RAID0,
);
test(
  'an odd strip of raid0',
  refuses,
  (view) => view.setUint32(120, 96, true),
  'INVALID',
  'strip_size',
  '96 blocks are not a power of two',
  RAID0,
);
test(
  'a state',
  refuses,
  (view) => view.setUint32(124, 3, true),
  'INVALID',
  'state',
  '3 is unknown',
);
test(
  'a sequence beyond 2^53',
  refuses,
  (view) => view.setBigUint64(128, 2n ** 53n, true),
  'INVALID',
  'seq_number',
  '9007199254740992 is beyond 2^53',
);
test(
  'the last sequence',
  refuses,
  (view) => view.setBigUint64(128, 2n ** 53n - 1n, true),
  'INVALID',
  'seq_number',
  '9007199254740991 leaves no number for the next',
);
test(
  'slots that are not entries',
  refuses,
  (view) => view.setUint8(136, 3),
  'INVALID',
  'num_base_bdevs',
  '3 slots but 2 entries',
);
test(
  'too few members',
  refuses,
  (view) => {
    view.setUint32(116, 95, true);
    view.setUint32(120, 8, true);
  },
  'INVALID',
  'num_base_bdevs',
  'raid5f needs at least 3 members, not 2',
);
test(
  'reserved bytes',
  refuses,
  (view) => view.setUint8(140, 9),
  'INVALID',
  'reserved',
  'byte 3 is not zero',
);
test(
  'a null entry uuid',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 320, 336);
  },
  'INVALID',
  'base_bdevs[1].uuid',
  'is all zeroes',
);
test(
  'an entry uuid twice',
  refuses,
  (_view, bytes) => {
    bytes.copyWithin(320, 256, 272);
  },
  'INVALID',
  'base_bdevs[1].uuid',
  `${UUIDS[0]} stands in two entries`,
);
test(
  'a data offset below 1 MiB',
  refuses,
  (view) => view.setBigUint64(272, 2047n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  '2047 blocks are less than 1 MiB',
);
test(
  'a data offset of 0',
  refuses,
  (view) => view.setBigUint64(272, 0n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  'is 0 blocks',
);
test(
  'a data offset beyond 2^53',
  refuses,
  (view) => view.setBigUint64(272, 2n ** 64n - 1n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  '18446744073709551615 blocks are beyond 2^53',
);
test(
  'data that ends beyond 2^53 bytes',
  refuses,
  (view) => view.setBigUint64(272, 2n ** 52n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  'ends at block 4503599627497472, beyond 2^53 bytes',
);
test(
  'data of 0 blocks',
  refuses,
  (view) => view.setBigUint64(280, 0n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  'is 0 blocks',
);
test(
  'data that is not whole strips',
  refuses,
  (view) => view.setBigUint64(280, 126975n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  '126975 blocks are not a multiple of the strip size 128',
  RAID0,
);
test(
  'data of unequal sizes',
  refuses,
  (view) => view.setBigUint64(344, 126848n, true),
  'INVALID',
  'base_bdevs.data_size',
  'slot 1 has 126848 blocks and slot 0 has 126976, but raid0 needs equal sizes',
  RAID0,
);
test(
  'an entry state',
  refuses,
  (view) => view.setUint32(288, 4, true),
  'INVALID',
  'base_bdevs[0].state',
  '4 is unknown',
);
test(
  'entry flags',
  refuses,
  (view) => view.setUint32(292, 1, true),
  'INVALID',
  'base_bdevs[0].flags',
  '0x00000001 holds unknown flags',
);
test(
  'a slot out of range',
  refuses,
  (view) => view.setUint8(296, 2),
  'INVALID',
  'base_bdevs[0].slot',
  '2 is not below the number of slots 2',
);
test(
  'a slot twice',
  refuses,
  (view) => view.setUint8(360, 0),
  'INVALID',
  'base_bdevs[1].slot',
  '0 stands in two entries',
);
test(
  'reserved bytes of an entry',
  refuses,
  (view) => view.setUint8(383, 1),
  'INVALID',
  'base_bdevs[1].reserved',
  'byte 22 is not zero',
);
test(
  "the superblock of Longhorn's fork",
  refuses,
  (view) => {
    view.setUint8(254, 2);
    view.setUint8(255, 0);
  },
  'FORK',
  'base_bdevs_size',
  "the number of entries (2) stands at byte 254 instead of 255, as Longhorn's fork of SPDK writes it; such arrays are not supported",
);
