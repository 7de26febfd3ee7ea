/**
 * Puts the compiled program together: dist/src (from tsc) becomes dist/program, which bin/ runs.
 *
 * A start of a stack loads the modules of a command, of the server and of its data path. Node takes
 * about half a millisecond for each module, and there are hundreds: with one file for each of them
 * a clean start takes half as long (docs/decisions/0025). The command's own part stays in
 * pieces, because a verb loads only what it needs; the files lie next to each other, because the
 * command finds the server's file, and the server the data path's, by its own place. Packages stay
 * outside, but for the parser of the command line.
 */

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const FOLDER = 'dist/program';

/**
 * yargs/helpers exports the parser of yargs, and loads all the rest of yargs besides. Of it the
 * program gets the parser alone.
 */
const parserOfYargs = {
  name: 'parser-of-yargs',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^yargs\/helpers$/ }, ({ path }) => ({ path, namespace: 'parser' }));
    onLoad({ filter: /./, namespace: 'parser' }, () => {
      const parser = fileURLToPath(import.meta.resolve('yargs-parser'));
      const contents = `export { default as Parser } from ${JSON.stringify(parser)};`;
      return { contents, resolveDir: '/' };
    });
  },
};

rmSync(FOLDER, { recursive: true, force: true });
const options = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  packages: 'external',
  legalComments: 'eof',
  logLevel: 'warning',
  outdir: FOLDER,
  plugins: [parserOfYargs],
};
// The monitor of a foreground server shares its pieces with the command.
const commands = ['dist/src/cli/main.js', 'dist/src/cli/monitor-entry.js'];
await build({ ...options, entryPoints: commands, splitting: true });
for (const program of [
  'dist/src/cli/server-entry.js',
  'dist/src/cli/ublk-helper.js',
  'dist/src/stack/stack-worker.js',
  'dist/src/exporter/nbd/tls-worker.js',
]) {
  await build({ ...options, entryPoints: [program] });
}
