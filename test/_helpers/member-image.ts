/**
 * The first MiB of a member, made and looked at without any code of the program.
 *
 * The superblock is encoded from its description (SPDK's bdev_raid.h; docs/on-disk-format.md), with
 * a CRC-32C that is computed bit by bit; so a test that compares it with what is on a disk cannot
 * share a mistake with the encoder.
 */

import { closeSync, openSync, readSync } from 'node:fs';

const MIB = 2 ** 20;
const KIB = 1024;
const ENTRY_AT = 256;
const ENTRY_BYTES = 64;

export type WantedState = 'missing' | 'configured' | 'failed';
const STATES: readonly WantedState[] = ['missing', 'configured', 'failed'];

export interface WantedMember {
  readonly uuid: string;
  readonly state: WantedState;
}

export interface WantedSuperblock {
  readonly uuid: string;
  readonly name: string;
  readonly sequence: number;
  readonly blockBytes: number;
  /** The number of the level: 1 for raid1. */
  readonly level: number;
  readonly raidBlocks: number;
  readonly dataOffset: number;
  readonly dataBlocks: number;
  readonly members: readonly WantedMember[];
}

/** CRC-32C, reflected; the usual one starts with all ones and is inverted at the end. */
function crc(bytes: Uint8Array, start: number): number {
  let state = start >>> 0;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      state = (state >>> 1) ^ (0x82f63b78 & -(state & 1));
    }
  }
  return state >>> 0;
}

function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

export function uuidAt(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** As SPDK would write it. */
export function spdkSuperblock(wanted: WantedSuperblock): Buffer {
  const count = wanted.members.length;
  const bytes = Buffer.alloc(ENTRY_AT + ENTRY_BYTES * count);
  bytes.write('SPDKRAID', 0, 'latin1');
  bytes.writeUInt16LE(1, 8);
  bytes.writeUInt32LE(bytes.length, 12);
  uuidBytes(wanted.uuid).copy(bytes, 24);
  bytes.write(wanted.name, 40, 'utf8');
  bytes.writeBigUInt64LE(BigInt(wanted.raidBlocks), 104);
  bytes.writeUInt32LE(wanted.blockBytes, 112);
  bytes.writeUInt32LE(wanted.level, 116);
  bytes.writeBigUInt64LE(BigInt(wanted.sequence), 128);
  bytes.writeUInt8(count, 136);
  bytes.writeUInt8(count, 255);
  for (const [slot, member] of wanted.members.entries()) {
    const at = ENTRY_AT + ENTRY_BYTES * slot;
    uuidBytes(member.uuid).copy(bytes, at);
    bytes.writeBigUInt64LE(BigInt(wanted.dataOffset), at + 16);
    bytes.writeBigUInt64LE(BigInt(wanted.dataBlocks), at + 24);
    bytes.writeUInt32LE(STATES.indexOf(member.state), at + 32);
    bytes.writeUInt8(slot, at + 40);
  }
  bytes.writeUInt32LE(crc(bytes, 0), 16);
  return bytes;
}

/** Both copies of the label lie below it. */
export const LABELS_END = 128 * KIB;

/** The first MiB, or less of it. */
export function headOf(disk: string, bytes = MIB): Buffer {
  const head = Buffer.alloc(bytes);
  const fd = openSync(disk, 'r');
  try {
    readSync(fd, head, 0, bytes, 0);
  } finally {
    closeSync(fd);
  }
  return head;
}

export interface SeenLabel {
  readonly sequence: number;
  readonly memberUuid: string;
  readonly arrayUuid: string;
  readonly superblockSeq: number;
  readonly slot: number;
  /** 1 clean, 2 dirty. */
  readonly state: number;
  readonly processKind: number;
  /** Blocks of the data area below which the process is done. */
  readonly processBlock: number;
  /** 0 member, 1 target, 2 spare. */
  readonly role: number;
}

/** The label that counts. Throws when both copies are void. */
export function newestLabel(head: Buffer): SeenLabel {
  const copies = [64 * KIB, 96 * KIB].flatMap((at) => {
    const copy = Buffer.from(head.subarray(at, at + 4096));
    if (copy.toString('latin1', 0, 8) !== 'BANDSTND') return [];
    const stored = copy.readUInt32LE(16);
    copy.writeUInt32LE(0, 16);
    return ~crc(copy, 0xffffffff) >>> 0 === stored ? [copy] : [];
  });
  const [newest] = copies.sort((a, b) => Number(b.readBigUInt64LE(24) - a.readBigUInt64LE(24)));
  if (newest === undefined) throw new Error('there is no valid label');
  return {
    sequence: Number(newest.readBigUInt64LE(24)),
    memberUuid: uuidAt(newest, 32),
    arrayUuid: uuidAt(newest, 48),
    superblockSeq: Number(newest.readBigUInt64LE(64)),
    slot: newest.readUInt32LE(72),
    state: newest.readUInt32LE(76),
    processKind: newest.readUInt32LE(112),
    processBlock: Number(newest.readBigUInt64LE(120)),
    role: newest.readUInt32LE(128),
  };
}

/**
 * Offset of the first byte that is not zero and belongs to nothing in the first MiB; -1: none. The
 * bitmap of an array below 16 128 regions is one block.
 */
export function strayByte(head: Buffer, superblockBytes: number): number {
  const free: readonly (readonly [number, number])[] = [
    [superblockBytes, 64 * KIB],
    [68 * KIB, 96 * KIB],
    [100 * KIB, 128 * KIB],
    [132 * KIB, MIB],
  ];
  for (const [from, end] of free) {
    for (let at = from; at < end; at += 1) if (head[at] !== 0) return at;
  }
  return -1;
}
