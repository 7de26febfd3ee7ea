/**
 * How AVA runs one test file at a time, from its source: `npx ava test/raid/label.ts`.
 *
 * All of them run compiled (`npm test`, ava.compiled.config.js): tsx takes half a second of each of
 * the many processes.
 */

export default {
  files: ['test/**/*.{ts,tsx}', '!test/_*/**', '!test/vm/**'],
  extensions: { ts: 'module', tsx: 'module' },
  nodeArguments: ['--import=tsx'],
  workerThreads: false,
  timeout: '120s',
  environmentVariables: { CI: 'false', NO_COLOR: '1' },
};
