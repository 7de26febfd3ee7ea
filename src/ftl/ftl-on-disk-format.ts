/**
 * The text of docs/on-disk-format-ftl.md, made from the tables of the code.         (control plane)
 *
 * `node --import=tsx scripts/on-disk-format.js` writes the file; a test says when it is outdated.
 */

import { SUPERBLOCK_LAYOUT } from './ftl-superblock.ts';
import { MAP_PAGE_HEADER } from './map-page.ts';
import { TRIM_RECORD, UNIT_ENTRY, UNIT_HEADER } from './unit-format.ts';
import { BUFFER_INDEX } from './write-buffer.ts';

export function ftlOnDiskFormat(): string {
  return `# On-disk format of a log-structured device

<!-- Made by scripts/on-disk-format.js from the tables in src/ftl; do not edit. -->

All integers are little-endian, UUIDs are 16 bytes in network order, blocks have 4096 bytes. The
device below is divided into write units, which are written as wholes, and these into

| Units | Content |
|---|---|
| superblock_units | superblock, copy 0: superblock, table of map pages, zeroes |
| superblock_units | superblock, copy 1 |
| 2 · front_pages | map pages: page 0 in slot 0, page 0 in slot 1, page 1 in slot 0 … |
| band_count · band_units | bands |

The map has block_count / page_entries pages, rounded up. A device that has grown has more of them
than front_pages: the others lie in the bands that map_bands names, in the order of the runs there,
band_units / 2 of them (rounded down) in each band, two slots next to each other from the band's
start. Such a band holds nothing else. A *place* is the number of a block counted from the start of
band 0.

A copy is written as far as its table of pages needs it, in whole units. Each copy is read by what it
says itself: while a device grows, the older one has fewer bands, blocks and pages.

## Superblock

Superblock number s is written to copy s mod 2, so a torn write destroys at most the older copy; the
valid copy with the greater sequence counts. When one copy is damaged, a clean mark in the other is
not believed. A reader refuses a superblock with fields that are out of their range or contradict
each other.

${SUPERBLOCK_LAYOUT.markdown()}

Behind it stands the table of map pages, 4 bytes each: 2 · number of the checkpoint that wrote the
page, plus the slot that holds it; 0 when the page was never written and nothing in it is mapped.

## Map page

One write unit: the header, then the lower 32 bits of the place of each block, then, with
place_bytes 5, bits 32 to 39 of each; the rest is zero. All ones is a block that is not mapped. The
last page has fewer entries, and so has one that was the last before the device grew: what a page
lacks is not mapped.

${MAP_PAGE_HEADER.markdown()}

## Write unit in a band

The first blocks of a unit are its summary: the header, an entry for each data block that a full
unit has, trim records, and zeroes. There are as few blocks of summary as leave room for 16 trim
records. Data block i lies i blocks behind the summary. A unit with fewer data blocks is written
only as far as it is used, rounded up to what the device below takes.

${UNIT_HEADER.markdown()}

### Entry, ${UNIT_ENTRY.bytes} bytes, at 64 + 16 · i of the unit

${UNIT_ENTRY.markdown()}

### Trim record, ${TRIM_RECORD.bytes} bytes, behind the entries of a full unit

${TRIM_RECORD.markdown()}

## What a start does with it

The map is that of the newest superblock. If that is dirty, every unit with a unit_sequence of
checkpoint_start or more is played over it, where a unit counts if

- its header is whole, and names this device and the place where it lies;
- its band_sequence is that of the head, the first unit of the band, whose unit_sequence equals its
  band_sequence;
- the head has a unit_sequence of checkpoint_start or more, or the band is one of open_bands.

For each block the data or trim with the greatest sequence counts, and of equal ones that in the unit
with the greater unit_sequence. Data and trims whose checksums are wrong do not count.

## Write buffer in memory

The memory in which units are filled may outlive the process. It is no part of the disks, but of a
format of its own, because the next process takes it over: this header, 16 bytes for each slot (state
and 256 · class, data blocks, trim records, number of the unit counted from band 0; 4 bytes each),
zeroes up to a multiple of 4096, and the units.

${BUFFER_INDEX.markdown()}
`;
}
