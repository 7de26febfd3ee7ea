/**
 * The superblock of an FTL: its shape, its life, and its newest checkpoint.         (control plane)
 *
 * Two copies; number s is written to copy s mod 2, so that a torn write destroys at most the older
 * one. Behind the superblock stands the table of map pages: for each page the number of the
 * checkpoint that wrote it and which of its two slots holds it. Writing a superblock is what makes
 * a checkpoint count: pages that it does not name do not exist.
 *
 * The epoch grows with every start for writing, before the first unit is written, and is part of
 * the sequence of every unit. `checkpoint_start` is the sequence from which on units are not in
 * the checkpoint; the bands that were open then are listed, because units may follow in them.
 *
 * A device that has grown has another shape than at its creation: more bands, and runs of them that
 * hold the pages which the map has more (growth.ts). The copies stay where they are: they have had
 * room for a larger table from the beginning.
 *
 * `buffer_boot` says that writes were answered out of a write buffer that a killed process leaves
 * behind, and until when it can be there: a start in the same boot that does not find it has lost
 * writes, and in another boot power was cut. A clean stop takes it back.
 *
 * Decoding trusts nothing: a refusal names the copy and the field.
 */

import { assert } from '../block/assert.ts';
import { crc32c } from '../block/crc32c.ts';
import { BandstandError } from '../block/errors.ts';
import { Layout, type LayoutValues } from '../block/layout.ts';
import { UUID_NULL } from '../block/uuid.ts';
import {
  BAND_UNITS_MAX,
  BANDS_LEAST,
  BANDS_MAX,
  deriveGeometry,
  FTL_BLOCK_BYTES,
  type FtlGeometry,
  type FtlShape,
  isMapBand,
  pageEntriesMax,
  pageRoom,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_COPY_BYTES_MAX,
  superblockUnitsOf,
  UNIT_BLOCKS_MAX,
} from './geometry.ts';
import { EPOCHS_MAX } from './unit-format.ts';

export const FTL_SIGNATURE = 'BSTNDFTL';
const VERSION_MAJOR = 1;
const VERSION_MINOR = 0;
const OPEN_BANDS_MAX = 64;
export const MAP_RUNS_MAX = 64;
/** As many as the table of the largest copy names. */
const FRONT_PAGES_MAX = SUPERBLOCK_COPY_BYTES_MAX / 4;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

export const SUPERBLOCK_LAYOUT = new Layout('FTL superblock', SUPERBLOCK_BYTES, [
  { name: 'signature', offset: 0, bytes: 8, type: 'bytes', meaning: 'ASCII `BSTNDFTL`, no NUL' },
  { name: 'version_major', offset: 8, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  {
    name: 'version_minor',
    offset: 10,
    bytes: 2,
    type: 'u16',
    meaning: '0; a greater one may use reserved bytes',
  },
  {
    name: 'crc',
    offset: 12,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the superblock with this field zero, and the table of pages',
  },
  { name: 'uuid', offset: 16, bytes: 16, type: 'uuid', meaning: 'UUID of the device' },
  {
    name: 'sequence',
    offset: 32,
    bytes: 8,
    type: 'u64',
    meaning: 'from 1, incremented before every write; copy = sequence mod 2',
  },
  {
    name: 'state',
    offset: 40,
    bytes: 4,
    type: 'u32',
    meaning: '1 clean (the checkpoint is complete), 2 dirty (units may follow it)',
  },
  { name: 'epoch', offset: 44, bytes: 4, type: 'u32', meaning: 'starts for writing so far' },
  { name: 'unit_blocks', offset: 48, bytes: 4, type: 'u32', meaning: 'blocks of a write unit' },
  { name: 'band_units', offset: 52, bytes: 4, type: 'u32', meaning: 'units of a band' },
  { name: 'band_count', offset: 56, bytes: 4, type: 'u32', meaning: 'bands' },
  { name: 'over_provisioning', offset: 60, bytes: 4, type: 'u32', meaning: 'per cent, 1 to 99' },
  { name: 'block_count', offset: 64, bytes: 8, type: 'u64', meaning: 'blocks of the device' },
  { name: 'page_entries', offset: 72, bytes: 4, type: 'u32', meaning: 'blocks per map page' },
  { name: 'place_bytes', offset: 76, bytes: 4, type: 'u32', meaning: 'bytes of a place: 4 or 5' },
  {
    name: 'checkpoint',
    offset: 80,
    bytes: 4,
    type: 'u32',
    meaning: 'number of the newest checkpoint; 0 = none, the map is empty',
  },
  {
    name: 'open_band_count',
    offset: 84,
    bytes: 4,
    type: 'u32',
    meaning: 'bands that could take units when the checkpoint began',
  },
  {
    name: 'checkpoint_start',
    offset: 88,
    bytes: 8,
    type: 'u64',
    meaning: 'units with this unit_sequence or a greater one are not in the checkpoint',
  },
  {
    name: 'write_sequence',
    offset: 96,
    bytes: 8,
    type: 'u64',
    meaning: 'the newest write when the checkpoint began',
  },
  {
    name: 'checkpoint_epoch',
    offset: 104,
    bytes: 4,
    type: 'u32',
    meaning: 'epoch of the life that has made the checkpoint',
  },
  {
    name: 'buffer_boot',
    offset: 108,
    bytes: 16,
    type: 'uuid',
    meaning:
      'boot of the machine in whose memory the write buffer has acknowledged writes; zero: none',
  },
  { name: 'superblock_units', offset: 124, bytes: 4, type: 'u32', meaning: 'units of a copy' },
  {
    name: 'open_bands',
    offset: 128,
    bytes: 4 * OPEN_BANDS_MAX,
    type: 'bytes',
    meaning: 'their numbers, 4 bytes each',
  },
  {
    name: 'cache_uuid',
    offset: 384,
    bytes: 16,
    type: 'uuid',
    meaning: 'UUID of the content of its NV cache; zero: it has none',
  },
  {
    name: 'cache_epoch',
    offset: 400,
    bytes: 4,
    type: 'u32',
    meaning: 'epoch of the cache when it was last started; one with an older epoch is an old copy',
  },
  {
    name: 'front_pages',
    offset: 404,
    bytes: 4,
    type: 'u32',
    meaning: 'pages of the map that lie before band 0',
  },
  {
    name: 'map_run_count',
    offset: 408,
    bytes: 4,
    type: 'u32',
    meaning: 'runs of bands that hold the other pages',
  },
  {
    name: 'map_bands',
    offset: 412,
    bytes: 8 * MAP_RUNS_MAX,
    type: 'bytes',
    meaning: 'first band and number of bands of each run, 4 bytes each',
  },
  { name: 'reserved_end', offset: 924, bytes: 3172, type: 'zero', meaning: 'zero' },
]);

/** The NV cache that has newer copies of some blocks. */
export interface FtlCache {
  readonly uuid: string;
  readonly epoch: number;
}

export interface FtlSuperblock {
  readonly uuid: string;
  readonly sequence: number;
  readonly clean: boolean;
  readonly epoch: number;
  readonly shape: FtlShape;
  readonly checkpoint: number;
  readonly checkpointStart: number;
  /** Of the life that made it: not that of its start, once a life has had 2^32 units. */
  readonly checkpointEpoch: number;
  readonly writeSequence: number;
  readonly openBands: readonly number[];
  /** The boot that the write buffer of the last life is of; null: it had none that outlives it. */
  readonly bufferBoot: string | null;
  /** Null: it has none. */
  readonly cache: FtlCache | null;
  /** One entry per map page: 2 · checkpoint + slot, or 0 when the page was never written. */
  readonly pages: Uint32Array;
}

/** Checkpoints are numbered below this, so that a table entry fits 32 bits. */
export const CHECKPOINTS_MAX = 2 ** 31 - 1;

export function superblockCopy(sequence: number): 0 | 1 {
  return (sequence & 1) as 0 | 1;
}

/** Bytes of one copy: whole units. */
export function superblockCopyBytes(shape: FtlShape): number {
  return shape.superblockUnits * shape.unitBlocks * FTL_BLOCK_BYTES;
}

/** Bytes of a copy that are written: whole units, as many as the table needs; the rest is zero. */
export function superblockUsedBytes({ pageCount, unitBlocks }: FtlGeometry): number {
  return superblockUnitsOf(pageCount, unitBlocks) * unitBlocks * FTL_BLOCK_BYTES;
}

/** The copy as it goes to the base, as far as it is used. */
export function encodeFtlSuperblock(superblock: FtlSuperblock): Uint8Array {
  const { shape, pages, openBands } = superblock;
  const geometry = deriveGeometry(shape);
  assert(pages.length === geometry.pageCount, 'the table has an entry for each page');
  assert(openBands.length <= OPEN_BANDS_MAX, 'the open bands fit their list');
  const bytes = new Uint8Array(superblockUsedBytes(geometry));
  const bands = new DataView(new ArrayBuffer(4 * openBands.length));
  openBands.forEach((band, index) => {
    bands.setUint32(4 * index, band, true);
  });
  const runs = new DataView(new ArrayBuffer(8 * shape.mapBands.length));
  shape.mapBands.forEach(({ first, count }, index) => {
    runs.setUint32(8 * index, first, true);
    runs.setUint32(8 * index + 4, count, true);
  });
  const values = {
    signature: new TextEncoder().encode(FTL_SIGNATURE),
    version_major: VERSION_MAJOR,
    version_minor: VERSION_MINOR,
    crc: 0,
    uuid: superblock.uuid,
    sequence: superblock.sequence,
    state: superblock.clean ? 1 : 2,
    epoch: superblock.epoch,
    unit_blocks: shape.unitBlocks,
    band_units: shape.bandUnits,
    band_count: shape.bandCount,
    over_provisioning: shape.overProvisioning,
    block_count: shape.blockCount,
    page_entries: shape.pageEntries,
    place_bytes: shape.placeBytes,
    superblock_units: shape.superblockUnits,
    front_pages: shape.frontPages,
    map_run_count: shape.mapBands.length,
    map_bands: new Uint8Array(runs.buffer),
    checkpoint: superblock.checkpoint,
    open_band_count: openBands.length,
    checkpoint_start: superblock.checkpointStart,
    checkpoint_epoch: superblock.checkpointEpoch,
    write_sequence: superblock.writeSequence,
    buffer_boot: superblock.bufferBoot ?? UUID_NULL,
    open_bands: new Uint8Array(bands.buffer),
    cache_uuid: superblock.cache?.uuid ?? UUID_NULL,
    cache_epoch: superblock.cache?.epoch ?? 0,
  };
  SUPERBLOCK_LAYOUT.encode(values, bytes);
  const view = new DataView(bytes.buffer);
  pages.forEach((entry, page) => {
    view.setUint32(SUPERBLOCK_BYTES + 4 * page, entry, true);
  });
  const end = SUPERBLOCK_BYTES + 4 * pages.length;
  view.setUint32(SUPERBLOCK_LAYOUT.field('crc').offset, crc32c(bytes, 0, end), true);
  return bytes;
}

type Values = LayoutValues<(typeof SUPERBLOCK_LAYOUT)['fields']>;

class Refusal {
  readonly where: string;

  constructor(where: string) {
    this.where = where;
  }

  throw(field: string, why: string): never {
    throw new BandstandError('BANDSTAND_FTL_SUPERBLOCK', {
      message: `cannot use the superblock ${this.where}: ${field} ${why}`,
      hint: 'look at the other copy, and at the devices below',
      details: { where: this.where, field },
    });
  }

  number(values: Values, field: 'sequence' | 'block_count' | Counter, least: number): number {
    const value = values[field];
    if (value > SAFE || value < BigInt(least)) this.throw(field, `is ${value}`);
    return Number(value);
  }
}

type Counter = 'checkpoint_start' | 'write_sequence';

/** True when the bytes begin with the signature of an FTL. */
export function hasFtlSignature(bytes: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 8)) === FTL_SIGNATURE;
}

/** Who a device is, and how it is divided. */
export type SuperblockHead = Pick<FtlSuperblock, 'shape' | 'uuid'>;

/**
 * Bytes that `decodeFtlSuperblock` needs, from the first 4096 of them. These are not verified, so
 * what they say has to be possible before so much is read.
 */
export function superblockLength(bytes: Uint8Array, where: string): number {
  return SUPERBLOCK_BYTES + 4 * possibleShape(bytes, where).geometry.pageCount;
}

/** What the first 4096 bytes of a copy say without being verified; null where they cannot be. */
export function superblockHead(bytes: Uint8Array): SuperblockHead | null {
  if (!hasFtlSignature(bytes)) return null;
  try {
    const { uuid } = SUPERBLOCK_LAYOUT.decode(bytes);
    return { uuid, shape: possibleShape(bytes, 'here').shape };
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return null;
  }
}

function possibleShape(
  bytes: Uint8Array,
  where: string,
): { readonly shape: FtlShape; readonly geometry: FtlGeometry } {
  const refuse = new Refusal(where);
  const shape = decodeShape(checkKind(bytes, refuse), refuse);
  return { shape, geometry: deriveGeometry(shape) };
}

function checkKind(bytes: Uint8Array, refuse: Refusal): Values {
  if (bytes.length < SUPERBLOCK_BYTES) refuse.throw('length', `is ${bytes.length} bytes`);
  if (!hasFtlSignature(bytes)) refuse.throw('signature', 'is missing');
  const values = SUPERBLOCK_LAYOUT.decode(bytes);
  if (values.version_major !== VERSION_MAJOR) {
    refuse.throw('version_major', `is ${values.version_major}, this program reads 1`);
  }
  return values;
}

/**
 * What the superblock at the start of `bytes` says; the table of pages has to be behind it. Throws
 * BANDSTAND_FTL_SUPERBLOCK, which names the field.
 */
export function decodeFtlSuperblock(bytes: Uint8Array, where: string): FtlSuperblock {
  const refuse = new Refusal(where);
  const values = checkKind(bytes, refuse);
  const shape = decodeShape(values, refuse);
  const geometry = deriveGeometry(shape);
  const end = SUPERBLOCK_BYTES + 4 * geometry.pageCount;
  if (bytes.length < end) refuse.throw('length', `is ${bytes.length} bytes, ${end} are needed`);
  const copy = bytes.slice(0, end);
  new DataView(copy.buffer).setUint32(SUPERBLOCK_LAYOUT.field('crc').offset, 0, true);
  const crc = crc32c(copy);
  if (crc !== values.crc) refuse.throw('crc', `is ${values.crc}, the content has ${crc}`);
  return decodeRest(values, shape, geometry, copy, refuse);
}

function decodeShape(values: Values, refuse: Refusal): FtlShape {
  const within = (field: Ranged, least: number, most: number): number => {
    const value = values[field];
    if (value < least || value > most) {
      refuse.throw(field, `is ${value}, it may be ${least} to ${most}`);
    }
    return value;
  };
  const unitBlocks = within('unit_blocks', 2, UNIT_BLOCKS_MAX);
  const placeBytes = within('place_bytes', 4, 5);
  const pageEntries = within('page_entries', 1, pageEntriesMax(unitBlocks, placeBytes));
  const bandUnits = within('band_units', 1, BAND_UNITS_MAX);
  const bandCount = within('band_count', BANDS_LEAST, BANDS_MAX);
  const overProvisioning = within('over_provisioning', 1, 99);
  const blockCount = refuse.number(values, 'block_count', 1);
  const places = bandCount * bandUnits * unitBlocks;
  if (blockCount > places) refuse.throw('block_count', `is ${blockCount} of ${places} places`);
  if (placeBytes === 4 && places >= 2 ** 32) {
    refuse.throw('place_bytes', `is 4, which is too few for ${places} places`);
  }
  const shape = { unitBlocks, bandUnits, bandCount, overProvisioning, blockCount, pageEntries };
  return { ...shape, placeBytes, ...decodeMapArea(values, shape, refuse) };
}

/** Where the map lies; whether there is room for it. */
function decodeMapArea(
  values: Values,
  shape: Omit<FtlShape, 'placeBytes' | keyof MapArea>,
  refuse: Refusal,
): MapArea {
  const {
    superblock_units: superblockUnits,
    front_pages: frontPages,
    map_run_count: count,
  } = values;
  const { bandCount, blockCount, pageEntries, unitBlocks } = shape;
  const pageCount = Math.ceil(blockCount / pageEntries);
  const least = superblockUnitsOf(pageCount, unitBlocks);
  const most = Math.floor(SUPERBLOCK_COPY_BYTES_MAX / (unitBlocks * FTL_BLOCK_BYTES));
  if (least > most)
    refuse.throw('page_entries', `is ${pageEntries}: a table of ${pageCount} pages`);
  if (superblockUnits < least || superblockUnits > most) {
    refuse.throw('superblock_units', `is ${superblockUnits}, it may be ${least} to ${most}`);
  }
  if (count > MAP_RUNS_MAX) refuse.throw('map_run_count', `is ${count}`);
  const list = new DataView(values.map_bands.buffer, values.map_bands.byteOffset);
  const mapBands = Array.from({ length: count }, (_, index) => ({
    first: list.getUint32(8 * index, true),
    count: list.getUint32(8 * index + 4, true),
  }));
  let end = 0;
  for (const run of mapBands) {
    const isPossible = run.first >= end && run.count > 0 && run.first + run.count <= bandCount;
    if (!isPossible) refuse.throw('map_bands', `name ${run.count} bands from ${run.first} on`);
    end = run.first + run.count;
  }
  const area = { superblockUnits, frontPages, mapBands };
  const room = pageRoom({ ...shape, placeBytes: 4, ...area });
  if (frontPages === 0 || room < pageCount || frontPages > FRONT_PAGES_MAX) {
    refuse.throw(
      'front_pages',
      `is ${frontPages}: there is room for ${room} of ${pageCount} pages`,
    );
  }
  return area;
}

type MapArea = Pick<FtlShape, 'superblockUnits' | 'frontPages' | 'mapBands'>;

type Ranged =
  | 'unit_blocks'
  | 'band_units'
  | 'band_count'
  | 'over_provisioning'
  | 'page_entries'
  | 'place_bytes';

function decodeRest(
  values: Values,
  shape: FtlShape,
  geometry: FtlGeometry,
  bytes: Uint8Array,
  refuse: Refusal,
): FtlSuperblock {
  const { state, checkpoint, open_band_count: count, uuid } = values;
  if (uuid === UUID_NULL) refuse.throw('uuid', 'is all zeroes');
  if (state !== 1 && state !== 2) refuse.throw('state', `is ${state}, it may be 1 or 2`);
  if (count > OPEN_BANDS_MAX) refuse.throw('open_band_count', `is ${count}`);
  const list = new DataView(values.open_bands.buffer, values.open_bands.byteOffset);
  const openBands = Array.from({ length: count }, (_, index) => list.getUint32(4 * index, true));
  const stray = openBands.find((band) => band >= shape.bandCount || isMapBand(shape, band));
  if (stray !== undefined) refuse.throw('open_bands', `name band ${stray}`);
  const view = new DataView(bytes.buffer);
  const pages = Uint32Array.from({ length: geometry.pageCount }, (_, page) =>
    view.getUint32(SUPERBLOCK_BYTES + 4 * page, true),
  );
  const later = pages.findIndex((entry) => Math.floor(entry / 2) > checkpoint);
  if (later !== -1) refuse.throw('table', `names a later checkpoint for page ${later}`);
  return {
    uuid,
    sequence: refuse.number(values, 'sequence', 1),
    clean: state === 1,
    epoch: epochFrom(values.epoch, 'epoch', refuse),
    shape,
    checkpoint,
    checkpointStart: refuse.number(values, 'checkpoint_start', 0),
    checkpointEpoch: epochFrom(values.checkpoint_epoch, 'checkpoint_epoch', refuse),
    writeSequence: refuse.number(values, 'write_sequence', 0),
    openBands,
    bufferBoot: values.buffer_boot === UUID_NULL ? null : values.buffer_boot,
    cache: cacheFrom(values, refuse),
    pages,
  };
}

function cacheFrom({ cache_uuid: uuid, cache_epoch: epoch }: Values, refuse: Refusal) {
  if (uuid !== UUID_NULL) return { uuid, epoch };
  if (epoch !== 0) refuse.throw('cache_epoch', `is ${epoch} where there is no cache`);
  return null;
}

/** Sequences of units have 53 bits, the counter within an epoch 32 of them. */
function epochFrom(value: number, field: string, refuse: Refusal): number {
  if (value > EPOCHS_MAX) refuse.throw(field, `is ${value}, it may be 0 to ${EPOCHS_MAX}`);
  return value;
}
