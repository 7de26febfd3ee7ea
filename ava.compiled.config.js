/**
 * How `npm test` runs test files: as `npm run build:test` has compiled them, in dist/test. All of
 * them but those that start, kill and export stacks for minutes (`npm run test:long`).
 * AVA starts Node with --enable-source-maps, so that stack traces still name the sources.
 */

import { availableParallelism } from 'node:os';
import fromSource from './ava.config.js';

const compiled = (names) => names.map((name) => `dist/test/${name}.js`);

export const LONG = compiled([
  'sim/live-ranges',
  'sim/mirrored-cache',
  'system/block-devices',
  'system/cache',
  'system/cache-mirror',
  'system/events',
  'system/ftl-buffer',
  'system/ftl-check',
  'system/ftl-endurance',
  'system/ftl-growth',
  'system/ftl-members',
  'system/ftl-read-only',
  'system/ftl-rebuild',
  'system/ftl-survival',
  'system/growth',
  'system/live-ranges',
  'system/members',
  'system/nbd-hostile',
  'system/nbd-tls',
  'system/spares',
  'system/survival',
]);

export default {
  ...fromSource,
  files: ['dist/test/**/*.js', '!dist/test/_*/**', ...LONG.map((file) => `!${file}`)],
  extensions: ['js'],
  nodeArguments: [],
  // One more than processors: some files wait for the servers that they have started.
  concurrency: availableParallelism() + 1,
};
