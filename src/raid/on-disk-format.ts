/**
 * The text of docs/on-disk-format.md, made from the tables of the code.             (control plane)
 *
 * `node --import=tsx scripts/on-disk-format.js` writes the file; a test says when it is outdated.
 */

import { BITMAP_BLOCK, BITMAP_BLOCKS_MAX, REGIONS_PER_BLOCK } from './bitmap-format.ts';
import { BITMAP_AREA_END, BITMAP_AREA_START, LABEL_LAYOUT, LABEL_OFFSETS } from './label.ts';
import { LEVELS } from './level-rules.ts';
import { DATA_OFFSET_BYTES_MIN, SUPERBLOCK_ENTRY, SUPERBLOCK_HEADER } from './superblock-layout.ts';

function kib(bytes: number): string {
  return `${bytes / 1024} KiB`;
}

export function onDiskFormat(): string {
  const levels = LEVELS.map(
    ({ name, code, membersMin, hasStrip }) =>
      `| ${name} | ${code} | ${membersMin} | ${hasStrip ? 'a power of two' : 'none (0)'} |`,
  ).join('\n');
  return `# On-disk format of array members

<!-- Made by scripts/on-disk-format.js from the tables in src/raid; do not edit. -->

All integers are little-endian, UUIDs are 16 bytes in network order. A member of an array with a
superblock looks like this:

| From | To | Content |
|---|---|---|
| 0 | at most 16 576 bytes | RAID superblock, the same on every member |
| ${kib(LABEL_OFFSETS[0])} | ${kib(LABEL_OFFSETS[0] + LABEL_LAYOUT.bytes)} | member label, copy 0 |
| ${kib(LABEL_OFFSETS[1])} | ${kib(LABEL_OFFSETS[1] + LABEL_LAYOUT.bytes)} | member label, copy 1 |
| ${kib(BITMAP_AREA_START)} | ${kib(BITMAP_AREA_END)} | write-intent bitmap |
| data_offset (${kib(DATA_OFFSET_BYTES_MIN)} or more) | data_offset + data_size | data |

An array without superblock has none of this: its data begins at block 0 of each member, and the
array is described anew at every assembly.

## RAID superblock

The format is version 1.0 of the superblock of SPDK's RAID module; arrays can be moved between
SPDK and bandstand. It is written to block 0 of every member, padded with zeroes to a whole block,
with \`seq_number\` incremented before every write. The checksum is a CRC-32C (polynomial
0x1EDC6F41, reflected) that starts with 0 and is not inverted, so it is not the usual CRC-32C.

### Header, ${SUPERBLOCK_HEADER.bytes} bytes

${SUPERBLOCK_HEADER.markdown()}

### Entry, ${SUPERBLOCK_ENTRY.bytes} bytes, one per slot after the header

${SUPERBLOCK_ENTRY.markdown()}

### Levels

| Level | Number | Members at least | Strip size |
|---|---:|---:|---|
${levels}

A reader refuses a superblock whose fields contradict each other: unequal counts, a slot or UUID
that occurs twice, sizes that the level does not make of its members, reserved bytes that are not
zero. A newer minor version is read with a warning.

## Member label

SPDK's superblock does not say which member a device is, nor whether the array was stopped cleanly.
The label does. Label number s is written to copy s mod 2, so a torn write destroys at most the
older copy; the valid copy with the greater sequence counts. When \`superblock_seq\` is less than
the \`seq_number\` of the superblock, something else wrote in between: identity still holds, the
bitmap and process fields are void.

This is version 1.1. Version 1.0 ended at byte 128; its bitmap and process fields were never
written, and a reader treats them as absent.

${LABEL_LAYOUT.markdown()}

A spare carries a label in role 2 and nothing else. The device that a rebuild fills carries one in
role 1 and the superblock, and becomes a member (role 0) only after a superblock that calls it
configured is on every member. A reader refuses a label whose fields contradict each other: a spare
with a slot, a bitmap or a process; a target that process_uuid does not name; a rebuild without
process_uuid, or process_uuid without a rebuild; a flag that its process cannot have; missed_since
after superblock_seq.

## Write-intent bitmap

Two bits for each region of the array, in at most ${BITMAP_BLOCKS_MAX} blocks of ${REGIONS_PER_BLOCK} regions,
the same on every member. *Intent*: the region may be written at present, so that after a crash the
members may differ there. *Missed*: the region was written while a member was away. A block is
written by itself; regions of a block that is damaged (one of zeroes, too) count as all set, unless
another member's copy of it is good. The bitmap is valid only with a label whose \`superblock_seq\` is that of the newest superblock.

${BITMAP_BLOCK.markdown()}

A new array is written in this order, with a flush after each step: zeroes over the first MiB of
every device; labels in state 3 (creating); superblocks, which are then read back; labels in state
1 (clean); the labels of spares. An array whose labels all say "creating" was never complete and is refused.
`;
}
