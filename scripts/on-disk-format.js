/**
 * Writes docs/on-disk-format.md and docs/on-disk-format-ftl.md from the tables in src/raid and
 * src/ftl.
 *
 * Run it as `node --import=tsx scripts/on-disk-format.js` after changing a table.
 */

import { writeFileSync } from 'node:fs';
import { ftlOnDiskFormat } from '../src/ftl/ftl-on-disk-format.ts';
import { onDiskFormat } from '../src/raid/on-disk-format.ts';

writeFileSync(new URL('../docs/on-disk-format.md', import.meta.url), onDiskFormat());
writeFileSync(new URL('../docs/on-disk-format-ftl.md', import.meta.url), ftlOnDiskFormat());
