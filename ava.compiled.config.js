/**
 * How `npm test` runs all test files: as `npm run build:test` has compiled them, in dist/test.
 * AVA starts Node with --enable-source-maps, so that stack traces still name the sources.
 */

import { availableParallelism } from 'node:os';
import fromSource from './ava.config.js';

export default {
  ...fromSource,
  files: ['dist/test/**/*.js', '!dist/test/_*/**'],
  extensions: ['js'],
  nodeArguments: [],
  // One more than processors: some files wait for the servers that they have started.
  concurrency: availableParallelism() + 1,
};
