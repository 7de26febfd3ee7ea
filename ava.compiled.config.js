/**
 * How `npm test` runs test files: as `npm run build:test` has compiled them, in dist/test. All of
 * them but those that take long (`npm run test:long`).
 * AVA starts Node with --enable-source-maps, so that stack traces still name the sources.
 */

import { availableParallelism } from 'node:os';
import fromSource from './ava.config.js';

const compiled = (names) => names.map((name) => `dist/test/${name}.js`);

export const LONG = compiled([
  'ftl/map-rebuild',
  'ftl/mending',
  'nv-cache/crashes',
  'raid/rebuild-steps',
  'sim/drill',
  'sim/live-ranges',
  'sim/mirror-drill',
  'sim/mirrored-cache',
  'sim/scenarios',
  'system/block-devices',
  'system/cache',
  'system/cache-mirror',
  'system/doctor',
  'system/documented-commands',
  'system/events',
  'system/export-plan',
  'system/exports',
  'system/foreground-monitor',
  'system/ftl-buffer',
  'system/ftl-check',
  'system/ftl-endurance',
  'system/ftl-growth',
  'system/ftl-members',
  'system/ftl-read-only',
  'system/ftl-rebuild',
  'system/ftl-survival',
  'system/growth',
  'system/json-documents',
  'system/levels',
  'system/lifecycle',
  'system/live-ranges',
  'system/members',
  'system/membership',
  'system/metrics-listener',
  'system/monitor',
  'system/nbd-hostile',
  'system/nbd-tls',
  'system/package',
  'system/progress',
  'system/rpc',
  'system/services',
  'system/spares',
  'system/survival',
  'system/upgrade',
]);

/** What takes longest begins first: at the end it would keep one processor busy alone. */
export const FIRST = compiled(['sim/ftl', 'sim/campaign', 'sim/cache', 'cli/create']);

/** The place of a file among those, or behind them. */
function rank(file) {
  const at = FIRST.findIndex((name) => file.endsWith(name));
  return at === -1 ? FIRST.length : at;
}

export default {
  ...fromSource,
  files: [
    'dist/test/**/*.js',
    '!dist/test/_*/**',
    '!dist/test/**/*.part.js',
    ...LONG.map((file) => `!${file}`),
  ],
  extensions: ['js'],
  nodeArguments: [],
  sortTestFiles: (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
  // One more than processors: some files wait for the servers that they have started.
  concurrency: availableParallelism() + 1,
};
