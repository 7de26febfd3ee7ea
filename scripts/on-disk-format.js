/**
 * Writes docs/on-disk-format.md, docs/on-disk-format-ftl.md and docs/on-disk-format-nv-cache.md
 * from the tables in src/raid, src/ftl and src/nv-cache.
 *
 * Run it as `node --import=tsx scripts/on-disk-format.js` after changing a table.
 */

import { writeFileSync } from 'node:fs';
import { ftlOnDiskFormat } from '../src/ftl/ftl-on-disk-format.ts';
import { nvCacheOnDiskFormat } from '../src/nv-cache/nv-cache-on-disk-format.ts';
import { onDiskFormat } from '../src/raid/on-disk-format.ts';

writeFileSync(new URL('../docs/on-disk-format.md', import.meta.url), onDiskFormat());
writeFileSync(new URL('../docs/on-disk-format-ftl.md', import.meta.url), ftlOnDiskFormat());
writeFileSync(
  new URL('../docs/on-disk-format-nv-cache.md', import.meta.url),
  nvCacheOnDiskFormat(),
);
