/**
 * examine: what is on one device, without judging whether it can be used.           (control plane)
 *
 * Reads the superblock and both label copies and says of each: there and valid, absent, or damaged
 * and why. What starts neither with zeroes nor with something like the signature belongs to
 * somebody else, and counts as absent; half a signature counts as damaged. An area that cannot be
 * read is damaged, too. Never throws for what it finds.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import {
  decodeLabel,
  LABEL_BYTES,
  LABEL_LAYOUT,
  LABEL_OFFSETS,
  LABEL_SIGNATURE,
  type Label,
} from './label.ts';
import { readArea } from './metadata-io.ts';
import { decodeSuperblock, dumpSuperblock, type Superblock } from './superblock.ts';
import { SIGNATURE, SUPERBLOCK_BYTES_MAX, SUPERBLOCK_HEADER } from './superblock-layout.ts';

export type FindingState = 'ok' | 'absent' | 'damaged';

export interface Finding<Value> {
  readonly state: FindingState;
  /** Set when ok. */
  readonly value: Value | null;
  /** Set when damaged. */
  readonly error: BandstandError | null;
  /** What is on disk, when ok or damaged and readable. */
  readonly bytes: Uint8Array | null;
}

export interface Examination {
  readonly device: string;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly superblock: Finding<Superblock>;
  readonly labels: readonly [Finding<Label>, Finding<Label>];
  /** The newest valid label, or null. */
  readonly label: Label | null;
  readonly warnings: readonly string[];
}

const ABSENT: Finding<never> = { state: 'absent', value: null, error: null, bytes: null };
/** So many right bytes of a signature are no coincidence. */
const SIGNATURE_BYTES_ALIKE = 4;

/** `device` is open. */
export async function examineDevice(reactor: Reactor, device: BlockDevice): Promise<Examination> {
  const warnings: string[] = [];
  const superblock = await examineSuperblock(reactor, device, warnings);
  const labels = [
    await examineLabel(reactor, device, 0),
    await examineLabel(reactor, device, 1),
  ] as const;
  const [a, b] = [labels[0].value, labels[1].value];
  return {
    device: device.name,
    blockBytes: device.geometry.blockBytes,
    blockCount: device.geometry.blockCount,
    superblock,
    labels,
    label: a !== null && b !== null ? (a.sequence > b.sequence ? a : b) : (a ?? b),
    warnings,
  };
}

async function examineSuperblock(
  reactor: Reactor,
  device: BlockDevice,
  warnings: string[],
): Promise<Finding<Superblock>> {
  let bytes: Uint8Array | null = null;
  try {
    bytes = await readArea(reactor, device, 0, SUPERBLOCK_BYTES_MAX);
    if (bytes.length < SUPERBLOCK_HEADER.bytes || isForeign(bytes, SIGNATURE)) return ABSENT;
    const decoded = decodeSuperblock(bytes, device.name);
    if (decoded === null) return ABSENT;
    warnings.push(...decoded.warnings);
    return { state: 'ok', value: decoded.superblock, error: null, bytes };
  } catch (error) {
    return damaged(error, bytes);
  }
}

async function examineLabel(
  reactor: Reactor,
  device: BlockDevice,
  copy: 0 | 1,
): Promise<Finding<Label>> {
  let bytes: Uint8Array | null = null;
  try {
    bytes = await readArea(reactor, device, LABEL_OFFSETS[copy], LABEL_BYTES);
    if (bytes.length < LABEL_BYTES || isForeign(bytes, LABEL_SIGNATURE)) return ABSENT;
    const value = decodeLabel(bytes.subarray(0, LABEL_BYTES), copy, device.name);
    if (value === null) return ABSENT;
    return { state: 'ok', value, error: null, bytes };
  } catch (error) {
    return damaged(error, bytes);
  }
}

/** Every field as it stands on disk. */
type Dump = (bytes: Uint8Array) => Record<string, unknown>;

function dumpLabel(bytes: Uint8Array): Record<string, unknown> {
  return LABEL_LAYOUT.json(LABEL_LAYOUT.decode(bytes));
}

function damaged(error: unknown, bytes: Uint8Array | null): Finding<never> {
  if (!(error instanceof BandstandError)) throw error;
  return { state: 'damaged', value: null, error, bytes };
}

/** True when the area is not zero and does not even resemble the signature. */
function isForeign(bytes: Uint8Array, signature: string): boolean {
  let alike = 0;
  for (let index = 0; index < signature.length; index += 1) {
    if (bytes[index] === signature.charCodeAt(index)) alike += 1;
  }
  return alike < SIGNATURE_BYTES_ALIKE;
}

/** For `examine --json`. */
export function examinationJson(examination: Examination): Record<string, unknown> {
  const finding = ({ state, error, bytes }: Finding<unknown>, dump: Dump) => ({
    state,
    reason: error?.message ?? null,
    code: error?.code ?? null,
    field: error?.details['field'] ?? null,
    fields: bytes === null ? null : dump(bytes),
  });
  const { superblock, label } = examination;
  const entry = superblock.value?.members.find(({ uuid }) => uuid === label?.memberUuid);
  return {
    device: examination.device,
    block_size: examination.blockBytes,
    blocks: examination.blockCount,
    superblock: {
      ...finding(superblock, dumpSuperblock),
      offset_bytes: 0,
      array:
        superblock.value === null
          ? null
          : {
              name: superblock.value.name,
              uuid: superblock.value.uuid,
              level: superblock.value.level,
              strip_size_bytes: superblock.value.stripBlocks * superblock.value.blockBytes,
              size_bytes: superblock.value.raidSize * superblock.value.blockBytes,
              seq_number: superblock.value.seq,
              members: superblock.value.members.map(({ slot, uuid, state }) => ({
                slot,
                uuid,
                state,
              })),
            },
    },
    labels: examination.labels.map((copy, index) => ({
      copy: index,
      offset_bytes: LABEL_OFFSETS[index],
      ...finding(copy, dumpLabel),
    })),
    member:
      label === null
        ? null
        : {
            uuid: label.memberUuid,
            array_uuid: label.arrayUuid,
            slot: entry?.slot ?? label.slot,
            role: label.role,
            state: label.state,
            ftl: label.ftl,
            nv_cache: label.nvCache,
            in_superblock: entry !== undefined,
            event_count: label.eventCount,
            missed_since: label.missedSince,
            bitmap: bitmapJson(label),
            process: processJson(label),
          },
    warnings: examination.warnings,
  };
}

function bitmapJson({ bitmap }: Label): Record<string, unknown> | null {
  if (bitmap === null) return null;
  return {
    offset_bytes: bitmap.offsetBytes,
    size_bytes: bitmap.bytes,
    region_blocks: bitmap.regionBlocks,
  };
}

function processJson({ process }: Label): Record<string, unknown> | null {
  if (process.kind === 'none') return null;
  const { kind, slot, block, repair, replace, paused, delta, uuid } = process;
  return { kind, slot, block, repair, replace, paused, delta, target_uuid: uuid };
}
