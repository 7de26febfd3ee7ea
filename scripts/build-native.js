#!/usr/bin/env node
/**
 * Builds the native addon with node-gyp, when it has to.
 *
 * `npm ci` in a clone runs this through `prepare`. Where the package is installed, its `install`
 * does, with --unless-loadable: the package has a binary, which is kept if this Node and machine
 * can load it. The sources, the Node version and the architecture are hashed into a stamp beside
 * the binary, so that a second run costs nothing. node-gyp comes with npm, and the headers of Node
 * are taken from beside the running binary where they are installed; otherwise node-gyp fetches
 * them once. Prints one line; the compiler's output is shown only when the build fails.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, 'native/ublk');
const binary = path.join(folder, 'build/Release/bandstand.node');
const stamp = path.join(folder, 'build/bandstand.stamp');

/** One hash over everything that the binary depends on. */
function contentHash() {
  const hash = createHash('sha256');
  const require = createRequire(path.join(root, 'package.json'));
  hash.update(`${process.version} ${process.arch} ${process.platform}\n`);
  hash.update(`node-addon-api ${require('node-addon-api/package.json').version}\n`);
  const sources = readdirSync(path.join(folder, 'src')).sort();
  for (const name of ['binding.gyp', ...sources.map((source) => `src/${source}`)]) {
    hash.update(`${name}\n`).update(readFileSync(path.join(folder, name)));
  }
  return hash.digest('hex');
}

/** The command that runs node-gyp: npm puts it on PATH of its scripts, and always carries it. */
function nodeGyp() {
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  const npm = process.env.npm_execpath && path.dirname(path.dirname(process.env.npm_execpath));
  const places = [
    npm && path.join(npm, 'node_modules/node-gyp/bin/node-gyp.js'),
    path.join(prefix, 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    path.join(prefix, 'share/nodejs/node-gyp/bin/node-gyp.js'),
  ];
  const found = places.find((place) => place && existsSync(place));
  return found ? [process.execPath, found] : ['node-gyp'];
}

/** Options that keep node-gyp off the network when the headers are installed beside Node. */
function headerOptions() {
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  const header = path.join(prefix, 'include/node/node_api.h');
  return existsSync(header) ? [`--nodedir=${prefix}`] : [];
}

function missingTools() {
  const tools = ['python3', 'make', process.env.CXX?.split(' ')[0] || 'g++'];
  return tools.filter((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error);
}

function fail(output) {
  const missing = missingTools();
  process.stderr.write(`${output}\n`);
  process.stderr.write('bandstand: cannot build the native addon: ');
  process.stderr.write(
    missing.length > 0
      ? `${missing.join(', ')} not found\n  install python3, make and g++ (Debian: apt install python3 make g++)\n`
      : 'node-gyp failed, see above\n  run `npm run build:native` again after fixing the cause\n',
  );
  process.exit(1);
}

function isLoadable() {
  try {
    createRequire(import.meta.url)(binary);
    return true;
  } catch {
    return false;
  }
}

const unlessLoadable = process.argv.includes('--unless-loadable');
if (unlessLoadable && isLoadable()) {
  console.log('native addon: the one of the package can be loaded');
  process.exit(0);
}
const hash = contentHash();
const current = existsSync(stamp) ? readFileSync(stamp, 'utf8').trim() : '';
if (existsSync(binary) && current === hash) {
  console.log('native addon: up to date');
} else {
  const started = Date.now();
  const [command, ...before] = nodeGyp();
  // A binary that is there stays in place until the new one is complete: it may be in use.
  const steps = existsSync(binary) ? ['configure', 'build'] : ['rebuild'];
  // What a newer compiler warns of is no reason why nobody could install.
  const { CXXFLAGS = '' } = process.env;
  const environment = unlessLoadable
    ? { ...process.env, CXXFLAGS: `${CXXFLAGS} -Wno-error` }
    : process.env;
  const run = spawnSync(
    command,
    [...before, ...steps, '-C', folder, '-j', String(availableParallelism()), ...headerOptions()],
    { cwd: root, env: environment, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 },
  );
  if (run.error) fail(String(run.error.message));
  if (run.status !== 0) fail(`${run.stdout}${run.stderr}`);
  writeFileSync(stamp, `${hash}\n`);
  const name = path.relative(root, binary);
  console.log(`native addon: built ${name} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}
