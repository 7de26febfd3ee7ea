/**
 * The member label: what SPDK's superblock has no field for.                        (control plane)
 *
 * SPDK keeps the first MiB of a member free behind its superblock. From 64 KiB on, bandstand keeps
 * there what it needs besides: which member this device is (SPDK stores it nowhere), whether the
 * array was stopped cleanly, where the write-intent bitmap is, and how far a background process
 * had come. An array without labels (made by SPDK) works too, once somebody says which device is
 * which; SPDK ignores labels. A spare has a label and nothing else; the device that a rebuild is
 * filling says so in its role, so that nobody takes it for a member before it is complete.
 *
 * Two copies, far enough apart that no physical sector holds both. Label number s is written to
 * copy s mod 2, so that a torn write destroys at most the older one; the newest valid copy counts.
 *
 * A label names the superblock sequence that it goes with. When the superblock has moved on without
 * the label (SPDK wrote in between), identity still holds, but bitmap and process are void.
 *
 * Version 1.0 had no role, no target and no missed_since, and never wrote a bitmap or a process; a
 * reader of 1.0 treats what stands there as absent. The bitmap itself is in bitmap-format.ts.
 */

import { assert } from '../block/assert.ts';
import { crc32c, crc32cAround } from '../block/crc32c.ts';
import { BandstandError } from '../block/errors.ts';
import { firstNonZero, Layout, type LayoutValues } from '../block/layout.ts';
import { UUID_NULL } from '../block/uuid.ts';
import { isPowerOfTwo, MEMBERS_MAX } from './level-rules.ts';

export const LABEL_SIGNATURE = 'BANDSTND';
export const LABEL_BYTES = 4096;
/** Byte offsets of the two copies. */
export const LABEL_OFFSETS: readonly [number, number] = [64 * 1024, 96 * 1024];
/** Where a write-intent bitmap may lie. */
export const BITMAP_AREA_START = 128 * 1024;
export const BITMAP_AREA_END = 2 ** 20;

const VERSION_MAJOR = 1;
const VERSION_MINOR = 1;
/** Where version 1.0 ended: all bytes from here on were reserved. */
const RESERVED_IN_1_0 = 128;
const COUNTER_LAST = BigInt(Number.MAX_SAFE_INTEGER);
/** Bitmaps consist of blocks of this size. */
export const BITMAP_BLOCK_BYTES = 4096;

export const LABEL_LAYOUT = new Layout('Member label', LABEL_BYTES, [
  { name: 'signature', offset: 0, bytes: 8, type: 'bytes', meaning: 'ASCII `BANDSTND`, no NUL' },
  { name: 'version_major', offset: 8, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  {
    name: 'version_minor',
    offset: 10,
    bytes: 2,
    type: 'u16',
    meaning: '1; 0 is read too, a greater one may use reserved bytes',
  },
  { name: 'length', offset: 12, bytes: 4, type: 'u32', meaning: '4096' },
  {
    name: 'crc',
    offset: 16,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over `length` bytes with this field zero',
  },
  {
    name: 'flags',
    offset: 20,
    bytes: 4,
    type: 'u32',
    meaning:
      'bit 0: the blocks of the array belong to an FTL; bit 1: they are an NV cache; not both, and no other',
  },
  {
    name: 'sequence',
    offset: 24,
    bytes: 8,
    type: 'u64',
    meaning: 'from 1, incremented before every write; copy = sequence mod 2',
  },
  { name: 'member_uuid', offset: 32, bytes: 16, type: 'uuid', meaning: 'UUID of this member' },
  { name: 'array_uuid', offset: 48, bytes: 16, type: 'uuid', meaning: 'UUID of its array' },
  {
    name: 'superblock_seq',
    offset: 64,
    bytes: 8,
    type: 'u64',
    meaning: 'seq_number of the superblock that this label goes with',
  },
  { name: 'slot', offset: 72, bytes: 4, type: 'u32', meaning: 'slot number in the array' },
  {
    name: 'state',
    offset: 76,
    bytes: 4,
    type: 'u32',
    meaning: '1 clean, 2 dirty (started and not stopped), 3 creating (the array is not complete)',
  },
  {
    name: 'event_count',
    offset: 80,
    bytes: 8,
    type: 'u64',
    meaning: 'incremented at every start for writing',
  },
  {
    name: 'bitmap_offset',
    offset: 88,
    bytes: 8,
    type: 'u64',
    meaning: 'write-intent bitmap: bytes from the start of the device; 0 = none',
  },
  { name: 'bitmap_bytes', offset: 96, bytes: 8, type: 'u64', meaning: 'its size' },
  {
    name: 'bitmap_region_blocks',
    offset: 104,
    bytes: 8,
    type: 'u64',
    meaning: 'blocks of the array per region, a power of two',
  },
  {
    name: 'process_kind',
    offset: 112,
    bytes: 4,
    type: 'u32',
    meaning: 'background process: 0 none, 1 rebuild, 2 resync, 3 check',
  },
  { name: 'process_slot', offset: 116, bytes: 4, type: 'u32', meaning: 'the slot it works on' },
  {
    name: 'process_block',
    offset: 120,
    bytes: 8,
    type: 'u64',
    meaning: 'block of the data area of a member below which it is done',
  },
  {
    name: 'role',
    offset: 128,
    bytes: 4,
    type: 'u32',
    meaning: '0 member, 1 target of a rebuild (not complete), 2 spare (slot 0, no superblock)',
  },
  {
    name: 'process_flags',
    offset: 132,
    bytes: 4,
    type: 'u32',
    meaning:
      'bit 0 repair (check, resync), bit 1 replace (rebuild), bit 2 paused, bit 3 delta (rebuild of the missed regions only)',
  },
  {
    name: 'process_uuid',
    offset: 136,
    bytes: 16,
    type: 'uuid',
    meaning: 'UUID of the target of a rebuild; all zeroes for every other process',
  },
  {
    name: 'missed_since',
    offset: 152,
    bytes: 8,
    type: 'u64',
    meaning:
      'a member with this superblock sequence or a later one lacks at most the missed regions; 0 = unknown',
  },
  { name: 'reserved', offset: 160, bytes: 3936, type: 'zero', meaning: 'zero' },
]);

export type LabelState = 'clean' | 'dirty' | 'creating';
const STATES: readonly (LabelState | null)[] = [null, 'clean', 'dirty', 'creating'];

export type LabelRole = 'member' | 'target' | 'spare';
const ROLES: readonly LabelRole[] = ['member', 'target', 'spare'];

const LABEL_FLAG_FTL = 1;
const LABEL_FLAG_NV_CACHE = 2;
const LABEL_FLAGS_KNOWN = LABEL_FLAG_FTL | LABEL_FLAG_NV_CACHE;

const FLAG_REPAIR = 1;
const FLAG_REPLACE = 2;
const FLAG_PAUSED = 4;
const FLAG_DELTA = 8;
const FLAGS_KNOWN = FLAG_REPAIR | FLAG_REPLACE | FLAG_PAUSED | FLAG_DELTA;

export type ProcessKind = 'none' | 'rebuild' | 'resync' | 'check';
const PROCESS_KINDS: readonly ProcessKind[] = ['none', 'rebuild', 'resync', 'check'];

export interface LabelBitmap {
  readonly offsetBytes: number;
  readonly bytes: number;
  readonly regionBlocks: number;
}

export interface LabelProcess {
  readonly kind: ProcessKind;
  readonly slot: number;
  /** Member data blocks: the process is done below it. */
  readonly block: number;
  /** A check or resync that writes what differs. */
  readonly repair: boolean;
  /** A rebuild whose slot has a member in service until the end. */
  readonly replace: boolean;
  readonly paused: boolean;
  /** A rebuild of a former member, which lacks nothing but the missed regions. */
  readonly delta: boolean;
  /** The UUID of the target of a rebuild, otherwise null. */
  readonly uuid: string | null;
}

export interface Label {
  readonly sequence: number;
  readonly memberUuid: string;
  readonly arrayUuid: string;
  readonly superblockSeq: number;
  /** 0 for a spare. */
  readonly slot: number;
  readonly role: LabelRole;
  readonly state: LabelState;
  /** The array's blocks are an FTL's, and nobody else may read or write them. */
  readonly ftl: boolean;
  /** The array is the mirror of an NV cache: part of another stack, and none of its own. */
  readonly nvCache: boolean;
  readonly eventCount: number;
  readonly bitmap: LabelBitmap | null;
  readonly process: LabelProcess;
  /** The superblock sequence from which on the missed bits are complete; 0 = they say nothing. */
  readonly missedSince: number;
}

export const NO_PROCESS: LabelProcess = {
  kind: 'none',
  slot: 0,
  block: 0,
  repair: false,
  replace: false,
  paused: false,
  delta: false,
  uuid: null,
};

/** The copy that label number `sequence` is written to. */
export function labelCopy(sequence: number): 0 | 1 {
  return sequence % 2 === 0 ? 0 : 1;
}

export function encodeLabel(label: Label): Uint8Array {
  assert(contradiction(label) === null, 'a label agrees with itself');
  const { process } = label;
  const bytes = new Uint8Array(LABEL_BYTES);
  LABEL_LAYOUT.encode(
    {
      signature: new TextEncoder().encode(LABEL_SIGNATURE),
      version_major: VERSION_MAJOR,
      version_minor: VERSION_MINOR,
      length: LABEL_BYTES,
      crc: 0,
      flags: (label.ftl ? LABEL_FLAG_FTL : 0) | (label.nvCache ? LABEL_FLAG_NV_CACHE : 0),
      sequence: label.sequence,
      member_uuid: label.memberUuid,
      array_uuid: label.arrayUuid,
      superblock_seq: label.superblockSeq,
      slot: label.slot,
      state: STATES.indexOf(label.state),
      event_count: label.eventCount,
      bitmap_offset: label.bitmap?.offsetBytes ?? 0,
      bitmap_bytes: label.bitmap?.bytes ?? 0,
      bitmap_region_blocks: label.bitmap?.regionBlocks ?? 0,
      process_kind: PROCESS_KINDS.indexOf(process.kind),
      process_slot: process.slot,
      process_block: process.block,
      role: ROLES.indexOf(label.role),
      process_flags:
        (process.repair ? FLAG_REPAIR : 0) |
        (process.replace ? FLAG_REPLACE : 0) |
        (process.paused ? FLAG_PAUSED : 0) |
        (process.delta ? FLAG_DELTA : 0),
      process_uuid: process.uuid ?? UUID_NULL,
      missed_since: label.missedSince,
    },
    bytes,
  );
  new DataView(bytes.buffer).setUint32(LABEL_LAYOUT.field('crc').offset, crc32c(bytes), true);
  return bytes;
}

type Values = LayoutValues<typeof LABEL_LAYOUT.fields>;
type Refuse = (field: string, why: string) => never;

/**
 * Reads and validates the label copy in `bytes` (LABEL_BYTES of them). Null when it is all zeroes.
 * Throws BANDSTAND_LABEL_INVALID whose message and `details.field` name what is wrong.
 */
export function decodeLabel(bytes: Uint8Array, copy: 0 | 1, device: string): Label | null {
  if (firstNonZero(bytes) === -1) return null;
  const refuse: Refuse = (field, why) => {
    throw new BandstandError('BANDSTAND_LABEL_INVALID', {
      message: `cannot use copy ${copy} of the member label on ${device}: ${field}: ${why}`,
      details: { device, copy, field },
    });
  };
  const values = LABEL_LAYOUT.decode(bytes);
  checkIntegrity(values, bytes, refuse);
  checkIdentity(values, copy, refuse);
  const state = STATES[values.state] ?? refuse('state', `${values.state} is unknown`);
  const role = ROLES[values.role] ?? refuse('role', `${values.role} is unknown`);
  const [bitmap, process] = [decodeBitmap(values, refuse), decodeProcess(values, refuse)];
  // Nothing of 1.0 ever wrote the two, and process_block has changed its unit since.
  const early = values.version_minor === 0;
  const label: Label = {
    sequence: Number(values.sequence),
    memberUuid: values.member_uuid,
    arrayUuid: values.array_uuid,
    superblockSeq: Number(values.superblock_seq),
    slot: values.slot,
    role,
    state,
    ftl: (values.flags & LABEL_FLAG_FTL) !== 0,
    nvCache: (values.flags & LABEL_FLAG_NV_CACHE) !== 0,
    eventCount: Number(values.event_count),
    bitmap: early ? null : bitmap,
    process: early ? NO_PROCESS : process,
    missedSince: Number(values.missed_since),
  };
  const wrong = contradiction(label);
  if (wrong !== null) refuse(wrong.field, wrong.why);
  return label;
}

/** What in a label of known values cannot be true together, or null. */
function contradiction(label: Label): { readonly field: string; readonly why: string } | null {
  const { role, process } = label;
  const wrong = (field: string, why: string) => ({ field, why });
  if (label.ftl && label.nvCache) return wrong('flags', 'an FTL and an NV cache cannot be one');
  if (role === 'spare') {
    if (label.slot !== 0) return wrong('slot', `a spare has slot 0, not ${label.slot}`);
    if (label.bitmap !== null) return wrong('bitmap_offset', 'a spare has no bitmap');
    if (process.kind !== 'none') return wrong('process_kind', 'a spare takes part in no process');
    if (label.missedSince !== 0) return wrong('missed_since', 'a spare has missed nothing');
  }
  if (label.missedSince > label.superblockSeq) {
    const { missedSince, superblockSeq } = label;
    return wrong('missed_since', `${missedSince} lies after superblock_seq ${superblockSeq}`);
  }
  return processContradiction(label);
}

function processContradiction(label: Label): { field: string; why: string } | null {
  const { role, process } = label;
  const wrong = (field: string, why: string) => ({ field, why });
  const rebuilds = process.kind === 'rebuild';
  if (rebuilds !== (process.uuid !== null)) {
    const has = rebuilds ? 'a rebuild without a target' : `a target without a rebuild`;
    return wrong('process_uuid', has);
  }
  if (process.replace && !rebuilds) return wrong('process_flags', 'only a rebuild can replace');
  if (process.delta && (!rebuilds || process.replace)) {
    return wrong('process_flags', 'only the rebuild of a former member can be by delta');
  }
  if (process.repair && process.kind !== 'check' && process.kind !== 'resync') {
    return wrong('process_flags', 'only a check or a resync can repair');
  }
  if (process.paused && process.kind === 'none') {
    return wrong('process_flags', 'no process is there that could be paused');
  }
  if ((role === 'target') !== (process.uuid === label.memberUuid)) {
    return role === 'target'
      ? wrong('process_uuid', 'a target carries its own UUID here')
      : wrong('role', `a ${role} is not the target of a rebuild, but process_uuid names it`);
  }
  if (role === 'target' && process.slot !== label.slot) {
    return wrong('process_slot', `the target is for slot ${label.slot}, not ${process.slot}`);
  }
  return null;
}

function checkIntegrity(values: Values, bytes: Uint8Array, refuse: Refuse): void {
  if (Buffer.from(values.signature).toString('latin1') !== LABEL_SIGNATURE) {
    refuse('signature', `is not ${LABEL_SIGNATURE}`);
  }
  if (values.length !== LABEL_BYTES) refuse('length', `${values.length} is not ${LABEL_BYTES}`);
  if (crc32cAround(bytes, LABEL_LAYOUT.field('crc').offset) !== values.crc) {
    refuse('crc', 'the checksum does not match the content');
  }
  if (values.version_major !== VERSION_MAJOR) {
    refuse(
      'version_major',
      `version ${values.version_major}.${values.version_minor} is not supported, only ${VERSION_MAJOR}.x`,
    );
  }
  if ((values.flags & ~LABEL_FLAGS_KNOWN) !== 0)
    refuse('flags', `${values.flags} holds unknown flags`);
  if (values.version_minor > VERSION_MINOR) return;
  const start =
    values.version_minor === 0 ? RESERVED_IN_1_0 : LABEL_LAYOUT.field('reserved').offset;
  const at = firstNonZero(bytes.subarray(start));
  if (at !== -1) refuse('reserved', `byte ${at} is not zero`);
}

function checkIdentity(values: Values, copy: number, refuse: Refuse): void {
  const counters = ['sequence', 'superblock_seq', 'event_count', 'missed_since'] as const;
  for (const field of counters) {
    const value = values[field];
    if (value > Number.MAX_SAFE_INTEGER) refuse(field, `${value} is beyond 2^53`);
    if (value === COUNTER_LAST) refuse(field, `${value} leaves no number for the next`);
  }
  if (values.sequence === 0n) refuse('sequence', 'is 0');
  if (Number(values.sequence % 2n) !== copy) {
    refuse('sequence', `label ${values.sequence} belongs in the other copy`);
  }
  if (values.member_uuid === UUID_NULL) refuse('member_uuid', 'is all zeroes');
  if (values.array_uuid === UUID_NULL) refuse('array_uuid', 'is all zeroes');
  if (values.slot >= MEMBERS_MAX) refuse('slot', `${values.slot} is not below ${MEMBERS_MAX}`);
}

function decodeBitmap(values: Values, refuse: Refuse): LabelBitmap | null {
  const { bitmap_offset: offset, bitmap_bytes: bytes, bitmap_region_blocks: region } = values;
  if (offset === 0n && bytes === 0n && region === 0n) return null;
  if (offset < BITMAP_AREA_START || offset >= BITMAP_AREA_END) {
    refuse('bitmap_offset', `${offset} lies outside the area for bitmaps`);
  }
  if (offset % BigInt(BITMAP_BLOCK_BYTES) !== 0n) {
    refuse('bitmap_offset', `${offset} is not a multiple of ${BITMAP_BLOCK_BYTES}`);
  }
  if (bytes === 0n || offset + bytes > BITMAP_AREA_END) {
    refuse('bitmap_bytes', `${bytes} bytes at ${offset} do not lie in the area for bitmaps`);
  }
  if (bytes % BigInt(BITMAP_BLOCK_BYTES) !== 0n) {
    refuse('bitmap_bytes', `${bytes} is not a multiple of ${BITMAP_BLOCK_BYTES}`);
  }
  if (region > Number.MAX_SAFE_INTEGER || !isPowerOfTwo(Number(region))) {
    refuse('bitmap_region_blocks', `${region} is not a power of two`);
  }
  return { offsetBytes: Number(offset), bytes: Number(bytes), regionBlocks: Number(region) };
}

function decodeProcess(values: Values, refuse: Refuse): LabelProcess {
  const kind =
    PROCESS_KINDS[values.process_kind] ??
    refuse('process_kind', `${values.process_kind} is unknown`);
  if (values.process_slot >= MEMBERS_MAX) {
    refuse('process_slot', `${values.process_slot} is not below ${MEMBERS_MAX}`);
  }
  if (values.process_block > Number.MAX_SAFE_INTEGER) {
    refuse('process_block', `${values.process_block} is beyond 2^53`);
  }
  const flags = values.process_flags;
  if ((flags & ~FLAGS_KNOWN) !== 0) refuse('process_flags', `${flags} holds unknown flags`);
  return {
    kind,
    slot: values.process_slot,
    block: Number(values.process_block),
    repair: (flags & FLAG_REPAIR) !== 0,
    replace: (flags & FLAG_REPLACE) !== 0,
    paused: (flags & FLAG_PAUSED) !== 0,
    delta: (flags & FLAG_DELTA) !== 0,
    uuid: values.process_uuid === UUID_NULL ? null : values.process_uuid,
  };
}
