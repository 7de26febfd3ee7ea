import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import {
  ADDON_BUILD_COMMAND,
  AddonMissingError,
  addonPath,
  loadAddon,
  loadAddonFrom,
  packageRoot,
} from '../../src/native/load.ts';

/** AVA starts a test in the folder of package.json. */
const ROOT = process.cwd();

test('the package is found from the sources and from the compiled output', (t) => {
  t.is(packageRoot(path.join(ROOT, 'src/native')), ROOT);
  t.is(packageRoot(path.join(ROOT, 'dist/src/native')), ROOT);
  t.is(packageRoot(), ROOT);
  t.is(packageRoot('/'), '/');
  t.is(addonPath(), path.join(ROOT, 'native/ublk/build/Release/bandstand.node'));
});

test('a thread has one addon', (t) => {
  t.is(loadAddon(), loadAddon());
});

test('a missing addon says where it was looked for and how it is built', (t) => {
  const error = t.throws(() => loadAddonFrom('/nonexistent/bandstand.node'), {
    instanceOf: AddonMissingError,
  });
  t.is(error.message, 'cannot load the native addon /nonexistent/bandstand.node: no such file');
  t.is(error.path, '/nonexistent/bandstand.node');
  t.is(error.buildCommand, 'npm run build:native');
  t.is(ADDON_BUILD_COMMAND, 'npm run build:native');
});

test('a file that is not an addon is reported as a missing one, with the cause', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-load-'));
  const file = path.join(folder, 'bandstand.node');
  writeFileSync(file, 'not a shared object');
  const error = t.throws(() => loadAddonFrom(file), { instanceOf: AddonMissingError });
  t.true(error.message.startsWith(`cannot load the native addon ${file}: `));
  t.true(error.cause instanceof Error);
  rmSync(folder, { recursive: true });
});
