/**
 * The text of docs/on-disk-format-nv-cache.md, made from the tables of the code.    (control plane)
 *
 * `node --import=tsx scripts/on-disk-format.js` writes the file; a test says when it is outdated.
 */

import { LOG_ENTRY, TRIM_RECORD } from '../block/log-entry.ts';
import {
  CACHE_HEADER,
  RECORD_DATA_MAX,
  RECORD_HEADER,
  RECORD_HEADER_BYTES,
  RECORD_TRIMS_MAX,
} from './cache-format.ts';

const TRIMS_AT = RECORD_HEADER_BYTES + RECORD_DATA_MAX * LOG_ENTRY.bytes;

export function nvCacheOnDiskFormat(): string {
  return `# On-disk format of an NV cache

<!-- Made by scripts/on-disk-format.js from the tables in src/nv-cache; do not edit. -->

All integers are little-endian, UUIDs are 16 bytes in network order, blocks have 4096 bytes. The
cache device is divided into

| Blocks | Content |
|---|---|
| 0 | header, copy 0 |
| 1 | header, copy 1 |
| 2 to size_blocks - 1 | the ring: records, one behind the other |

## Header

Header number s is written to copy s mod 2, so a torn write destroys at most the older copy; the
valid copy with the greater header_sequence counts. When one copy is damaged, a current_address in
the other is not believed. With phase 0 the ring is being scrubbed and nothing in it counts.

${CACHE_HEADER.markdown()}

## Record

One write: a block that describes it, and data_count data blocks behind it. A record does not wrap;
what is left at the end of the ring is skipped, and the next record is in the next phase at block 2.

${RECORD_HEADER.markdown()}

### Entry, ${LOG_ENTRY.bytes} bytes, at ${RECORD_HEADER_BYTES} + ${LOG_ENTRY.bytes} · i

There is room for ${RECORD_DATA_MAX}. The sequence is that of the record.

${LOG_ENTRY.markdown()}

### Trim record, ${TRIM_RECORD.bytes} bytes, at ${TRIMS_AT} + ${TRIM_RECORD.bytes} · i

There is room for ${RECORD_TRIMS_MAX}.

${TRIM_RECORD.markdown()}

## What a start does with it

A record counts if

- its description is whole, has the UUID of the header, and the address at which it lies;
- its sequence is not below the greatest tail_sequence of the header and of any such description;
- each of its data blocks is as its entry says. A block which is not is lost, and the others count,
  when the head_sequence of the header is not below the sequence of the record, or when the block
  cannot be read. Otherwise the record was torn; its description is zeroed before the header is
  written.

For each block of the device the record with the greatest sequence counts; within a record trims
come before data, and later entries before earlier ones. Blocks beyond the end of the device are left
out. A block in lost_ranges can be read nowhere, unless a record with a sequence above lost_sequence
has it.

Where current_address is a block, all records that count lie between tail_address and it. The next
record goes there; otherwise behind the record with the greatest sequence. Its sequence has an epoch
that is greater than that of the header, of its tail_sequence, and of all records.
`;
}
