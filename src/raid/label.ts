/**
 * The member label: what SPDK's superblock has no field for.                        (control plane)
 *
 * SPDK keeps the first MiB of a member free behind its superblock. From 64 KiB on, bandstand keeps
 * there what it needs besides: which member this device is (SPDK stores it nowhere), whether the
 * array was stopped cleanly, where the write-intent bitmap is, and how far a background process
 * had come. An array without labels (made by SPDK) works too, once somebody says which device is
 * which; SPDK ignores labels.
 *
 * Two copies, far enough apart that no physical sector holds both. Label number s is written to
 * copy s mod 2, so that a torn write destroys at most the older one; the newest valid copy counts.
 *
 * A label names the superblock sequence that it goes with. When the superblock has moved on without
 * the label (SPDK wrote in between), identity still holds, but bitmap and process are void.
 *
 * The bitmap (at 128 KiB, up to the end of the first MiB) and the process fields are defined here
 * and not used yet.
 */

import { crc32c } from '../block/crc32c.ts';
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
const VERSION_MINOR = 0;

export const LABEL_LAYOUT = new Layout('Member label', LABEL_BYTES, [
  { name: 'signature', offset: 0, bytes: 8, type: 'bytes', meaning: 'ASCII `BANDSTND`, no NUL' },
  { name: 'version_major', offset: 8, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  {
    name: 'version_minor',
    offset: 10,
    bytes: 2,
    type: 'u16',
    meaning: '0; a greater one may use reserved bytes',
  },
  { name: 'length', offset: 12, bytes: 4, type: 'u32', meaning: '4096' },
  {
    name: 'crc',
    offset: 16,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over `length` bytes with this field zero',
  },
  { name: 'flags', offset: 20, bytes: 4, type: 'u32', meaning: '0; no flag is defined' },
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
    meaning: 'blocks of the array per bit, a power of two',
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
    meaning: 'block of the array below which it is done',
  },
  { name: 'reserved', offset: 128, bytes: 3968, type: 'zero', meaning: 'zero' },
]);

export type LabelState = 'clean' | 'dirty' | 'creating';
const STATES: readonly (LabelState | null)[] = [null, 'clean', 'dirty', 'creating'];

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
  readonly block: number;
}

export interface Label {
  readonly sequence: number;
  readonly memberUuid: string;
  readonly arrayUuid: string;
  readonly superblockSeq: number;
  readonly slot: number;
  readonly state: LabelState;
  readonly eventCount: number;
  readonly bitmap: LabelBitmap | null;
  readonly process: LabelProcess;
}

export const NO_PROCESS: LabelProcess = { kind: 'none', slot: 0, block: 0 };

/** The copy that label number `sequence` is written to. */
export function labelCopy(sequence: number): 0 | 1 {
  return sequence % 2 === 0 ? 0 : 1;
}

export function encodeLabel(label: Label): Uint8Array {
  const bytes = new Uint8Array(LABEL_BYTES);
  LABEL_LAYOUT.encode(
    {
      signature: new TextEncoder().encode(LABEL_SIGNATURE),
      version_major: VERSION_MAJOR,
      version_minor: VERSION_MINOR,
      length: LABEL_BYTES,
      crc: 0,
      flags: 0,
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
      process_kind: PROCESS_KINDS.indexOf(label.process.kind),
      process_slot: label.process.slot,
      process_block: label.process.block,
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
  return {
    sequence: Number(values.sequence),
    memberUuid: values.member_uuid,
    arrayUuid: values.array_uuid,
    superblockSeq: Number(values.superblock_seq),
    slot: values.slot,
    state,
    eventCount: Number(values.event_count),
    bitmap: decodeBitmap(values, refuse),
    process: decodeProcess(values, refuse),
  };
}

function checkIntegrity(values: Values, bytes: Uint8Array, refuse: Refuse): void {
  if (Buffer.from(values.signature).toString('latin1') !== LABEL_SIGNATURE) {
    refuse('signature', `is not ${LABEL_SIGNATURE}`);
  }
  if (values.length !== LABEL_BYTES) refuse('length', `${values.length} is not ${LABEL_BYTES}`);
  const blank = Uint8Array.from(bytes);
  const { offset, bytes: width } = LABEL_LAYOUT.field('crc');
  blank.fill(0, offset, offset + width);
  if (crc32c(blank) !== values.crc) refuse('crc', 'the checksum does not match the content');
  if (values.version_major !== VERSION_MAJOR) {
    refuse(
      'version_major',
      `version ${values.version_major}.${values.version_minor} is not supported, only ${VERSION_MAJOR}.x`,
    );
  }
  if (values.flags !== 0) refuse('flags', `${values.flags} holds unknown flags`);
  if (values.version_minor <= VERSION_MINOR && firstNonZero(values.reserved) !== -1) {
    refuse('reserved', `byte ${firstNonZero(values.reserved)} is not zero`);
  }
}

function checkIdentity(values: Values, copy: number, refuse: Refuse): void {
  for (const field of ['sequence', 'superblock_seq', 'event_count'] as const) {
    if (values[field] > Number.MAX_SAFE_INTEGER) refuse(field, `${values[field]} is beyond 2^53`);
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
  if (bytes === 0n || offset + bytes > BITMAP_AREA_END) {
    refuse('bitmap_bytes', `${bytes} bytes at ${offset} do not lie in the area for bitmaps`);
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
  return { kind, slot: values.process_slot, block: Number(values.process_block) };
}
