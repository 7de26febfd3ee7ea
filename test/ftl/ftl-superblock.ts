import test from 'ava';
import { crc32c } from '../../src/block/crc32c.ts';
import { BandstandError } from '../../src/block/errors.ts';
import {
  decodeFtlSuperblock,
  encodeFtlSuperblock,
  type FtlSuperblock,
  superblockLength,
} from '../../src/ftl/ftl-superblock.ts';

const GOLDEN: FtlSuperblock = {
  uuid: '00112233-4455-6677-8899-aabbccddeeff',
  sequence: 9,
  clean: false,
  epoch: 3,
  shape: {
    unitBlocks: 4,
    bandUnits: 8,
    bandCount: 32,
    overProvisioning: 25,
    blockCount: 600,
    pageEntries: 64,
    placeBytes: 4,
    superblockUnits: 1,
    frontPages: 6,
    mapBands: [
      { first: 12, count: 1 },
      { first: 20, count: 2 },
    ],
  },
  checkpoint: 6,
  checkpointStart: 3 * 2 ** 32 + 1,
  checkpointEpoch: 0,
  writeSequence: 12345,
  openBands: [30, 2],
  bufferBoot: 'b0070000-1122-4233-8444-556677889900',
  cache: { uuid: '0c0c0c0c-0000-4000-8000-00000000cace', epoch: 7 },
  pages: Uint32Array.from([13, 12, 0, 3, 2, 0, 0, 0, 1, 5]),
};

/** Made by a program of its own from the description of the format: the first 136 bytes. */
const GOLDEN_BYTES =
  '4253544e4446544c01000000b32b00c800112233445566778899aabbccddeeff09' +
  '000000000000000200000003000000040000000800000020000000190000005802' +
  '000000000000400000000400000006000000020000000100000003000000393000' +
  '000000000000000000b0070000112242338444556677889900010000001e000000' +
  '02000000';
/** From byte 404 on: where the map lies. */
const GOLDEN_AREA = '06000000020000000c000000010000001400000002000000';
const GOLDEN_CACHE = '0c0c0c0c0000400080000000' + '0000cace07000000';
const GOLDEN_TABLE =
  '0d0000000c00000000000000030000000200000000000000000000000000000001000000' + '05000000';
const USED = 4096 + 40;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('the golden superblock has the golden bytes, and is read back', (t) => {
  const bytes = encodeFtlSuperblock(GOLDEN);
  t.is(bytes.length, 4 * 4096, 'whole units');
  t.is(hex(bytes.subarray(0, 136)), GOLDEN_BYTES);
  t.is(hex(bytes.subarray(384, 404)), GOLDEN_CACHE);
  t.is(hex(bytes.subarray(404, 428)), GOLDEN_AREA);
  t.is(hex(bytes.subarray(4096, USED)), GOLDEN_TABLE);
  t.is(superblockLength(bytes.subarray(0, 4096), 'here'), USED);
  t.deepEqual(decodeFtlSuperblock(bytes.subarray(0, USED), 'here'), GOLDEN);
});

test('any byte that changes is refused', (t) => {
  const bytes = encodeFtlSuperblock(GOLDEN).slice(0, USED);
  for (let at = 0; at < USED; at += 1) {
    bytes[at]! ^= 0x10;
    const error = t.throws(() => decodeFtlSuperblock(bytes, 'here'), {
      instanceOf: BandstandError,
    });
    if (error?.code !== 'BANDSTAND_FTL_SUPERBLOCK') t.fail(`byte ${at}`);
    bytes[at]! ^= 0x10;
  }
});

/** The field that is named when the golden superblock is changed and its checksum made right. */
function refusedField(patch: (view: DataView) => void): unknown {
  const bytes = encodeFtlSuperblock(GOLDEN).slice(0, USED);
  const view = new DataView(bytes.buffer);
  patch(view);
  view.setUint32(12, 0, true);
  view.setUint32(12, crc32c(bytes), true);
  try {
    decodeFtlSuperblock(bytes, 'at byte 0 of /dev/sda');
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    if (!error.message.startsWith('cannot use the superblock at byte 0 of /dev/sda: ')) throw error;
    return error.details['field'];
  }
  return null;
}

const u32 =
  (at: number, value: number) =>
  (view: DataView): void =>
    view.setUint32(at, value, true);
const u64 =
  (at: number, value: bigint) =>
  (view: DataView): void =>
    view.setBigUint64(at, value, true);

const REFUSALS: readonly (readonly [field: string, patch: (view: DataView) => void])[] = [
  ['version_major', u32(8, 2)],
  ['uuid', (view) => new Uint8Array(view.buffer).fill(0, 16, 32)],
  ['sequence', u64(32, 0n)],
  ['sequence', u64(32, 2n ** 60n)],
  ['state', u32(40, 3)],
  ['unit_blocks', u32(48, 1)],
  ['band_units', u32(52, 0)],
  ['band_count', u32(56, 5)],
  ['over_provisioning', u32(60, 100)],
  ['block_count', u64(64, 0n)],
  ['block_count', u64(64, 2000n)],
  ['page_entries', u32(72, 0)],
  ['page_entries', u32(72, 5000)],
  ['place_bytes', u32(76, 6)],
  ['open_band_count', u32(84, 65)],
  ['checkpoint_start', u64(88, 2n ** 53n)],
  ['write_sequence', u64(96, 2n ** 53n)],
  ['open_bands', u32(132, 32)],
  ['open_bands', u32(132, 21)],
  ['superblock_units', u32(124, 0)],
  ['superblock_units', u32(124, 5000)],
  ['front_pages', u32(404, 0)],
  ['front_pages', u32(404, 2 ** 31)],
  ['map_run_count', u32(408, 65)],
  ['map_bands', u32(412, 21)],
  ['map_bands', u32(416, 0)],
  ['map_bands', u32(420, 12)],
  ['map_bands', u32(424, 13)],
  ['table', u32(4096, 14)],
];

test('a field that cannot be true is refused by name', (t) => {
  t.is(
    refusedField(() => {}),
    null,
  );
  for (const [field, patch] of REFUSALS) t.is(refusedField(patch), field);
});

test('what would make a reader take too much memory is refused before it is verified', (t) => {
  const bytes = encodeFtlSuperblock(GOLDEN);
  const view = new DataView(bytes.buffer);
  view.setUint32(52, 2 ** 20, true);
  view.setUint32(56, 2 ** 22, true);
  view.setUint32(72, 1, true);
  view.setUint32(76, 5, true);
  view.setBigUint64(64, 2n ** 43n, true);
  const error = t.throws(() => superblockLength(bytes.subarray(0, 4096), 'here'), {
    instanceOf: BandstandError,
  })!;
  t.is(
    error.message,
    'cannot use the superblock here: page_entries is 1: a table of 8796093022208 pages',
  );
});

test('an epoch that no sequence can hold is refused', (t) => {
  for (const field of ['epoch', 'checkpointEpoch'] as const) {
    const bytes = encodeFtlSuperblock({ ...GOLDEN, [field]: 2 ** 21 - 1 });
    const error = t.throws(() => decodeFtlSuperblock(bytes, 'here'), {
      instanceOf: BandstandError,
    })!;
    t.regex(error.message, /epoch is 2097151, it may be 0 to 2097150$/);
  }
});
