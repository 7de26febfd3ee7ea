/**
 * Devices that exist on paper: examinations made from a superblock and a label.
 *
 * Both go through their codecs, so that nothing is described here that could not be on a disk.
 */

import type { Examination, Finding } from '../../src/raid/examine.ts';
import {
  decodeLabel,
  encodeLabel,
  type Label,
  type LabelProcess,
  labelCopy,
  NO_PROCESS,
} from '../../src/raid/label.ts';
import { decodeSuperblock, encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';

export const PAPER_ARRAY = '00112233-4455-6677-8899-aabbccddeeff';
export const DATA_SIZE = 1000;
const DATA_OFFSET = 256;

/** The UUID of device A, B, C … */
export function uuidOf(letter: string): string {
  return `${letter.charCodeAt(0).toString(16).repeat(4)}-0000-4000-8000-000000000000`;
}

const STATES = { '+': 'configured', '-': 'missing', '!': 'failed' } as const;

/** `A+ B- C!`: who is in the slots, and configured, missing or failed. */
export function mirror(seq: number, slots: string): Superblock {
  return {
    versionMinor: 0,
    uuid: PAPER_ARRAY,
    name: 'tank',
    raidSize: DATA_SIZE,
    blockBytes: 4096,
    level: 'raid1',
    stripBlocks: 0,
    seq,
    members: slots.split(' ').map((text, slot) => ({
      uuid: uuidOf(text[0]!),
      dataOffset: DATA_OFFSET,
      dataSize: DATA_SIZE,
      state: STATES[text[1] as keyof typeof STATES],
      slot,
    })),
  };
}

const BITMAP = { offsetBytes: 131072, bytes: 4096, regionBlocks: 256 };

/** The label of a member, in slot 0 unless told otherwise. */
export function label(letter: string, seq: number, rest: Partial<Label> = {}): Label {
  return {
    sequence: 4,
    memberUuid: uuidOf(letter),
    arrayUuid: PAPER_ARRAY,
    superblockSeq: seq,
    slot: 0,
    role: 'member',
    state: 'clean',
    ftl: false,
    nvCache: false,
    eventCount: 7,
    bitmap: BITMAP,
    process: NO_PROCESS,
    missedSince: 0,
    ...rest,
  };
}

export function rebuild(
  letter: string,
  slot: number,
  block: number,
  rest: Partial<LabelProcess> = {},
): LabelProcess {
  return { ...NO_PROCESS, kind: 'rebuild', slot, block, uuid: uuidOf(letter), ...rest };
}

export function target(letter: string, seq: number, process: LabelProcess, rest = {}): Label {
  return label(letter, seq, { role: 'target', slot: process.slot, process, ...rest });
}

export function spare(letter: string, rest: Partial<Label> = {}): Label {
  return label(letter, 1, { role: 'spare', bitmap: null, eventCount: 0, ...rest });
}

const ABSENT: Finding<never> = { state: 'absent', value: null, error: null, bytes: null };

export function device(
  name: string,
  superblock: Superblock | null,
  its: Label | null,
  geometry: { blockBytes?: number; blockCount?: number } = {},
): Examination {
  const ok = <Value>(value: Value): Finding<Value> => ({
    state: 'ok',
    value,
    error: null,
    bytes: null,
  });
  const read =
    superblock === null ? null : decodeSuperblock(encodeSuperblock(superblock), name)!.superblock;
  const copy = its === null ? 0 : labelCopy(its.sequence);
  const found = its === null ? null : decodeLabel(encodeLabel(its), copy, name);
  return {
    device: name,
    blockBytes: geometry.blockBytes ?? 4096,
    blockCount: geometry.blockCount ?? DATA_OFFSET + DATA_SIZE,
    superblock: read === null ? ABSENT : ok(read),
    labels: [
      found !== null && copy === 0 ? ok(found) : ABSENT,
      found !== null && copy === 1 ? ok(found) : ABSENT,
    ],
    label: found,
    warnings: [],
  };
}
