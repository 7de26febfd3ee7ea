/**
 * SPDK's RAID superblock, version 1.0, byte for byte.                               (control plane)
 *
 * 256 bytes of header and 64 bytes per slot at block 0 of every member, little-endian, with a raw
 * CRC-32C (seed 0, no inversion) over the whole with the checksum field zero. The two tables in
 * superblock-layout.ts are the only description of it. SPDK reads what this writes, and the
 * reverse; what SPDK leaves unchecked (duplicates, ranges, reserved bytes, sizes) is checked here,
 * each field with its own message, because a wrong superblock that is believed costs the data.
 *
 * Source of the format: SPDK, module/bdev/raid/bdev_raid.h (struct raid_bdev_superblock).
 *
 * A block of zeroes is no superblock. Anything else that starts differently is refused by its
 * signature; whether that means "damaged" or "something else" is decided in examine.ts.
 */

import { crc32cRaw } from '../block/crc32c.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import { firstNonZero, type LayoutValues } from '../block/layout.ts';
import { UUID_NULL } from '../block/uuid.ts';
import {
  isPowerOfTwo,
  type LevelName,
  type LevelRules,
  levelByCode,
  levelRules,
} from './level-rules.ts';
import {
  DATA_OFFSET_BYTES_MIN,
  SIGNATURE,
  SUPERBLOCK_ENTRY,
  SUPERBLOCK_HEADER,
  superblockBytes,
  VERSION_MAJOR,
  VERSION_MINOR,
} from './superblock-layout.ts';

export type EntryState = 'missing' | 'configured' | 'failed' | 'spare';
const ENTRY_STATES: readonly EntryState[] = ['missing', 'configured', 'failed', 'spare'];

export interface SuperblockMember {
  readonly uuid: string;
  readonly dataOffset: number;
  readonly dataSize: number;
  readonly state: EntryState;
  readonly slot: number;
}

export interface Superblock {
  readonly versionMinor: number;
  readonly uuid: string;
  readonly name: string;
  /** Blocks. */
  readonly raidSize: number;
  readonly blockBytes: number;
  readonly level: LevelName;
  /** Blocks; 0 for raid1. */
  readonly stripBlocks: number;
  readonly seq: number;
  /** One per slot, in slot order. */
  readonly members: readonly SuperblockMember[];
}

type HeaderValues = LayoutValues<typeof SUPERBLOCK_HEADER.fields>;
type EntryValues = LayoutValues<typeof SUPERBLOCK_ENTRY.fields>;

/** Exactly `length` bytes; pad them with zeroes to whole blocks before writing. */
export function encodeSuperblock(superblock: Superblock): Uint8Array {
  const bytes = new Uint8Array(superblockBytes(superblock.members.length));
  SUPERBLOCK_HEADER.encode(
    {
      signature: new TextEncoder().encode(SIGNATURE),
      version_major: VERSION_MAJOR,
      version_minor: VERSION_MINOR,
      length: bytes.length,
      crc: 0,
      flags: 0,
      uuid: superblock.uuid,
      name: new TextEncoder().encode(superblock.name),
      raid_size: superblock.raidSize,
      block_size: superblock.blockBytes,
      level: levelRules(superblock.level).code,
      strip_size: superblock.stripBlocks,
      state: 0,
      seq_number: superblock.seq,
      num_base_bdevs: superblock.members.length,
      base_bdevs_size: superblock.members.length,
    },
    bytes,
  );
  superblock.members.forEach((member, index) => {
    SUPERBLOCK_ENTRY.encode(
      {
        uuid: member.uuid,
        data_offset: member.dataOffset,
        data_size: member.dataSize,
        state: ENTRY_STATES.indexOf(member.state),
        flags: 0,
        slot: member.slot,
      },
      bytes,
      superblockBytes(index),
    );
  });
  new DataView(bytes.buffer).setUint32(
    SUPERBLOCK_HEADER.field('crc').offset,
    superblockCrc(bytes),
    true,
  );
  return bytes;
}

/** The checksum of a superblock of exactly `bytes.length` bytes, its crc field taken as zero. */
export function superblockCrc(bytes: Uint8Array): number {
  const { offset, bytes: width } = SUPERBLOCK_HEADER.field('crc');
  const before = crc32cRaw(0, bytes, 0, offset);
  const across = crc32cRaw(before, new Uint8Array(width));
  return crc32cRaw(across, bytes, offset + width);
}

export interface DecodedSuperblock {
  readonly superblock: Superblock;
  /** Things that are unusual but harmless. */
  readonly warnings: readonly string[];
}

/**
 * Reads and validates the superblock at the start of `bytes` (SUPERBLOCK_BYTES_MAX of them, or all
 * that the device has). Null when the header is all zeroes. Throws BANDSTAND_SUPERBLOCK_* whose
 * message and `details.field` name what is wrong; `device` is for the message.
 */
export function decodeSuperblock(bytes: Uint8Array, device: string): DecodedSuperblock | null {
  const refuse = refuser(device);
  if (bytes.length < SUPERBLOCK_HEADER.bytes) {
    refuse('LENGTH', 'length', `only ${bytes.length} of 256 header bytes can be read`);
  }
  if (firstNonZero(bytes.subarray(0, SUPERBLOCK_HEADER.bytes)) === -1) return null;
  const header = SUPERBLOCK_HEADER.decode(bytes);
  checkIntegrity(header, bytes, refuse);
  const warnings: string[] = [];
  if (header.version_minor > VERSION_MINOR) {
    warnings.push(
      `the superblock of ${device} has version 1.${header.version_minor}, newer than 1.${VERSION_MINOR}: what the newer version added is ignored`,
    );
  }
  const level = checkHeader(header, refuse);
  const members: SuperblockMember[] = [];
  for (let index = 0; index < header.base_bdevs_size; index += 1) {
    const entry = SUPERBLOCK_ENTRY.decode(bytes, superblockBytes(index));
    members.push(checkEntry(header, entry, index, level, members, refuse));
  }
  members.sort((a, b) => a.slot - b.slot);
  checkSizes(header, level, members, refuse);
  return {
    superblock: {
      versionMinor: header.version_minor,
      uuid: header.uuid,
      name: decodeName(header.name, refuse),
      raidSize: Number(header.raid_size),
      blockBytes: header.block_size,
      level: level.name,
      stripBlocks: header.strip_size,
      seq: Number(header.seq_number),
      members,
    },
    warnings,
  };
}

/** Every field as it stands on disk, without judgement, for people and scripts. */
export function dumpSuperblock(bytes: Uint8Array): Record<string, unknown> {
  const header = SUPERBLOCK_HEADER.decode(bytes);
  const entries: Record<string, unknown>[] = [];
  for (let index = 0; index < header.base_bdevs_size; index += 1) {
    if (superblockBytes(index + 1) > bytes.length) break;
    entries.push(SUPERBLOCK_ENTRY.json(SUPERBLOCK_ENTRY.decode(bytes, superblockBytes(index))));
  }
  return { ...SUPERBLOCK_HEADER.json(header), base_bdevs: entries };
}

type Kind = 'CHECKSUM' | 'FORK' | 'INVALID' | 'LENGTH' | 'SIGNATURE' | 'VERSION';
type Refuse = (kind: Kind, field: string, why: string, value?: unknown) => never;

function refuser(device: string): Refuse {
  return (kind, field, why, value) => {
    throw new BandstandError(`BANDSTAND_SUPERBLOCK_${kind}` as ErrorCode, {
      message: `cannot use the superblock on ${device}: ${field}: ${why}`,
      details: {
        device,
        field,
        ...(value === undefined ? {} : { value: typeof value === 'bigint' ? `${value}` : value }),
      },
    });
  };
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** Signature, length, checksum, version: what has to hold before any field is believed. */
function checkIntegrity(header: HeaderValues, bytes: Uint8Array, refuse: Refuse): void {
  const signature = Buffer.from(header.signature).toString('latin1');
  if (signature !== SIGNATURE) {
    const found = Buffer.from(header.signature).toString('hex');
    refuse('SIGNATURE', 'signature', `is not ${SIGNATURE}`, found);
  }
  const { length } = header;
  const forkEntries = bytes[254]!;
  const fits = length === superblockBytes(header.base_bdevs_size);
  const isFork = !fits && forkEntries > 0 && length === superblockBytes(forkEntries);
  if (!fits && !isFork) {
    refuse(
      'LENGTH',
      'length',
      `${length} bytes do not hold a header and ${header.base_bdevs_size} entries, which take ${superblockBytes(header.base_bdevs_size)}`,
      length,
    );
  }
  if (length > bytes.length) {
    refuse('LENGTH', 'length', `${length} bytes are more than the ${bytes.length} there`, length);
  }
  const computed = superblockCrc(bytes.subarray(0, length));
  if (computed !== header.crc) {
    refuse(
      'CHECKSUM',
      'crc',
      `the checksum is ${hex(header.crc)} but the content has ${hex(computed)}`,
      header.crc,
    );
  }
  if (isFork) {
    refuse(
      'FORK',
      'base_bdevs_size',
      `the number of entries (${forkEntries}) stands at byte 254 instead of 255, as Longhorn's fork of SPDK writes it; such arrays are not supported`,
      forkEntries,
    );
  }
  if (header.version_major !== VERSION_MAJOR) {
    refuse(
      'VERSION',
      'version_major',
      `version ${header.version_major}.${header.version_minor} is not supported, only ${VERSION_MAJOR}.x`,
      header.version_major,
    );
  }
}

/** Everything in the header that can be judged without the entries. */
function checkHeader(header: HeaderValues, refuse: Refuse): LevelRules {
  if (header.flags !== 0) {
    refuse('INVALID', 'flags', `${hex(header.flags)} holds unknown flags`, header.flags);
  }
  if (header.uuid === UUID_NULL) refuse('INVALID', 'uuid', 'is all zeroes', header.uuid);
  decodeName(header.name, refuse);
  checkBlocks('raid_size', header.raid_size, refuse);
  if (header.block_size !== 512 && header.block_size !== 4096) {
    refuse(
      'INVALID',
      'block_size',
      `${header.block_size} is neither 512 nor 4096`,
      header.block_size,
    );
  }
  const level = levelByCode(header.level);
  if (level === null) refuse('INVALID', 'level', `${header.level} is unknown`, header.level);
  const strip = header.strip_size;
  if (level.hasStrip && !isPowerOfTwo(strip)) {
    refuse('INVALID', 'strip_size', `${strip} blocks are not a power of two`, strip);
  }
  if (!level.hasStrip && strip !== 0) {
    refuse('INVALID', 'strip_size', `${strip} blocks, but ${level.name} has no strips`, strip);
  }
  if (header.state > 2) refuse('INVALID', 'state', `${header.state} is unknown`, header.state);
  if (header.seq_number > Number.MAX_SAFE_INTEGER) {
    refuse('INVALID', 'seq_number', `${header.seq_number} is beyond 2^53`, header.seq_number);
  }
  if (header.seq_number === BigInt(Number.MAX_SAFE_INTEGER)) {
    const why = `${header.seq_number} leaves no number for the next`;
    refuse('INVALID', 'seq_number', why, header.seq_number);
  }
  const slots = header.num_base_bdevs;
  if (slots !== header.base_bdevs_size) {
    refuse(
      'INVALID',
      'num_base_bdevs',
      `${slots} slots but ${header.base_bdevs_size} entries`,
      slots,
    );
  }
  if (slots < level.membersMin) {
    refuse(
      'INVALID',
      'num_base_bdevs',
      `${level.name} needs at least ${level.membersMin} members, not ${slots}`,
      slots,
    );
  }
  checkReserved('reserved', header, header.reserved, refuse);
  return level;
}

/** A newer minor version may use what 1.0 reserves. */
function checkReserved(
  field: string,
  header: HeaderValues,
  reserved: Uint8Array,
  refuse: Refuse,
): void {
  const at = firstNonZero(reserved);
  if (at !== -1 && header.version_minor <= VERSION_MINOR) {
    refuse('INVALID', field, `byte ${at} is not zero`, reserved[at]);
  }
}

function decodeName(field: Uint8Array, refuse: Refuse): string {
  const end = field.indexOf(0);
  if (end === -1) refuse('INVALID', 'name', 'is not terminated by a NUL');
  if (end === 0) refuse('INVALID', 'name', 'is empty');
  if (firstNonZero(field.subarray(end)) !== -1) {
    refuse('INVALID', 'name', 'has bytes after its terminating NUL');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      field.subarray(0, end),
    );
  } catch {
    return refuse('INVALID', 'name', 'is not valid UTF-8');
  }
}

/** A count of blocks: from 1 to 2^53 - 1. */
function checkBlocks(field: string, value: bigint, refuse: Refuse): void {
  if (value === 0n) refuse('INVALID', field, 'is 0 blocks', value);
  if (value > Number.MAX_SAFE_INTEGER) {
    refuse('INVALID', field, `${value} blocks are beyond 2^53`, value);
  }
}

function checkEntry(
  header: HeaderValues,
  entry: EntryValues,
  index: number,
  level: LevelRules,
  earlier: readonly SuperblockMember[],
  refuse: Refuse,
): SuperblockMember {
  const field = (name: string) => `base_bdevs[${index}].${name}`;
  if (entry.uuid === UUID_NULL) refuse('INVALID', field('uuid'), 'is all zeroes', entry.uuid);
  if (earlier.some(({ uuid }) => uuid === entry.uuid)) {
    refuse('INVALID', field('uuid'), `${entry.uuid} stands in two entries`, entry.uuid);
  }
  checkBlocks(field('data_offset'), entry.data_offset, refuse);
  checkBlocks(field('data_size'), entry.data_size, refuse);
  if (Number(entry.data_offset) * header.block_size < DATA_OFFSET_BYTES_MIN) {
    refuse(
      'INVALID',
      field('data_offset'),
      `${entry.data_offset} blocks are less than 1 MiB`,
      entry.data_offset,
    );
  }
  const end = entry.data_offset + entry.data_size;
  if (end * BigInt(header.block_size) > Number.MAX_SAFE_INTEGER) {
    refuse('INVALID', field('data_size'), `ends at block ${end}, beyond 2^53 bytes`, end);
  }
  if (level.hasStrip && entry.data_size % BigInt(header.strip_size) !== 0n) {
    refuse(
      'INVALID',
      field('data_size'),
      `${entry.data_size} blocks are not a multiple of the strip size ${header.strip_size}`,
      entry.data_size,
    );
  }
  const state = ENTRY_STATES[entry.state];
  if (state === undefined) {
    refuse('INVALID', field('state'), `${entry.state} is unknown`, entry.state);
  }
  if (entry.flags !== 0) {
    refuse('INVALID', field('flags'), `${hex(entry.flags)} holds unknown flags`, entry.flags);
  }
  if (entry.slot >= header.num_base_bdevs) {
    refuse(
      'INVALID',
      field('slot'),
      `${entry.slot} is not below the number of slots ${header.num_base_bdevs}`,
      entry.slot,
    );
  }
  if (earlier.some(({ slot }) => slot === entry.slot)) {
    refuse('INVALID', field('slot'), `${entry.slot} stands in two entries`, entry.slot);
  }
  checkReserved(field('reserved'), header, entry.reserved, refuse);
  return {
    uuid: entry.uuid,
    dataOffset: Number(entry.data_offset),
    dataSize: Number(entry.data_size),
    state,
    slot: entry.slot,
  };
}

/** The size of the array has to be what the level makes of its members. */
function checkSizes(
  header: HeaderValues,
  level: LevelRules,
  members: readonly SuperblockMember[],
  refuse: Refuse,
): void {
  const sizes = members.map(({ dataSize }) => dataSize);
  if (level.equalSizes) {
    const odd = members.findIndex(({ dataSize }) => dataSize !== sizes[0]);
    if (odd !== -1) {
      refuse(
        'INVALID',
        'base_bdevs.data_size',
        `slot ${odd} has ${sizes[odd]} blocks and slot 0 has ${sizes[0]}, but ${level.name} needs equal sizes`,
        sizes[odd],
      );
    }
  }
  const expected = level.arraySize(sizes, header.strip_size);
  if (BigInt(expected) !== header.raid_size) {
    refuse(
      'INVALID',
      'raid_size',
      `${header.raid_size} blocks, but ${level.name} over these members has ${expected}`,
      header.raid_size,
    );
  }
}
