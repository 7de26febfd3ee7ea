/**
 * Writes docs/on-disk-format.md from the tables in src/raid.
 *
 * Run it as `node --import=tsx scripts/on-disk-format.js` after changing a table.
 */

import { writeFileSync } from 'node:fs';
import { onDiskFormat } from '../src/raid/on-disk-format.ts';

writeFileSync(new URL('../docs/on-disk-format.md', import.meta.url), onDiskFormat());
