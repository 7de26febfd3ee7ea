/**
 * The package: what `npm pack` makes is complete, has nothing of this clone, and works elsewhere,
 * with its prebuilt addon and with one that is built there.
 */

import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { NbdClient } from '../_helpers/nbd-client.ts';
import { ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { CliWorld } from '../_helpers/run-cli.ts';
import { noise } from '../_helpers/running-stack.ts';
import { listFiles } from '../_helpers/source-text.ts';

const MIB = 2 ** 20;
const CONTENT = noise(MIB, 33);
const ADDON = 'native/ublk/build/Release/bandstand.node';

/** Everything that may be in the package, and why. */
const EXPECTED: readonly RegExp[] = [
  /^(package\.json|README\.md|LICENSE)$/,
  /^bin\/bandstand\.js$/,
  /^dist\/program\/[\w-]+\.js$/,
  /^(man|schemas|docs)\/.+\.([578]|json|md)$/,
  /^docs\/(examples\/[\w-]+\.sh|monitor\.svg)$/,
  /^packaging\/.+\.(service|conf|rules)$/,
  // For a machine that the addon was not built for.
  /^(native\/ublk\/(binding\.gyp|src\/[\w-]+\.(cc|h))|scripts\/build-native\.js)$/,
  new RegExp(`^${ADDON.replaceAll('.', '\\.')}$`),
];

/** Packs without building: what is packed is what the tests run. */
function pack(folder: string): string {
  const words = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const output = execFileSync('npm', words, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  return path.join(folder, JSON.parse(output)[0].filename);
}

/** Packages that the program needs at run time, as paths under node_modules. */
function runtimePackages(): string[] {
  const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages as Record<string, { dev?: boolean; optional?: boolean }>)
    .filter(([at, { dev, optional }]) => at !== '' && dev !== true && optional !== true)
    .map(([at]) => at);
}

/** A prefix as `npm install --global` leaves it, without a network. */
function install(world: CliWorld): { program: string; folder: string } {
  const folder = world.path('prefix/lib/node_modules/bandstand');
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', pack(world.folder), '--strip-components=1', '-C', folder]);
  for (const name of runtimePackages()) {
    cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  const program = world.path('prefix/bin/bandstand');
  mkdirSync(path.dirname(program));
  symlinkSync('../lib/node_modules/bandstand/bin/bandstand.js', program);
  return { program, folder };
}

/** Runs the program by its name, as a shell does. */
async function installed(world: CliWorld, program: string, ...words: string[]): Promise<string> {
  const [verb, ...rest] = words;
  const line = [verb!, ...(verb!.startsWith('-') ? [] : world.directories), ...rest];
  const { stdout } = await promisify(execFile)(program, line, { cwd: world.folder });
  return stdout;
}

async function serves(t: ExecutionContext, world: CliWorld, program: string): Promise<void> {
  const bandstand = installed.bind(null, world, program);
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  t.is(await bandstand('--version'), `bandstand ${version}\n`);
  const disks = world.files(3, 32 * MIB);
  await bandstand('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  const uri = await bandstand('export', 'tank', '--nbd', `unix:${world.path('tank.nbd')}`);
  t.is(uri, `nbd+unix:///tank?socket=${world.path('tank.nbd')}\n`);
  try {
    const client = await NbdClient.connectUnix(world.path('tank.nbd'), { exportName: 'tank' });
    await client.write(0, CONTENT);
    await client.flush();
    t.true((await client.read(0, CONTENT.length)).equals(CONTENT));
    await client.disconnect();
    t.regex(await bandstand('monitor', '--help'), /^Shows a stack/m);
  } finally {
    t.is(await bandstand('stop', 'tank'), 'stopped tank\n');
  }
}

test.serial('the package has what it needs, and nothing else', (t) => {
  const world = new CliWorld(t);
  const list = execFileSync('tar', ['-tzf', pack(world.folder)], { encoding: 'utf8' });
  const files = list
    .trim()
    .split('\n')
    .map((line) => line.replace(/^package\//, ''));
  t.deepEqual(
    files.filter((file) => !EXPECTED.some((pattern) => pattern.test(file))),
    [],
  );
  const wanted = [
    ...['package.json', 'README.md', 'LICENSE', 'bin/bandstand.js', ADDON],
    ...['main', 'monitor-entry', 'server-entry', 'ublk-helper', 'stack-worker', 'tls-worker'].map(
      (name) => `dist/program/${name}.js`,
    ),
    ...COMMANDS.map(({ name }) => `man/bandstand-${name}.8`),
    ...listFiles(['man', 'schemas', 'packaging', 'docs', 'native/ublk/src'], ['']),
    ...['native/ublk/binding.gyp', 'scripts/build-native.js'],
  ];
  t.deepEqual(
    wanted.filter((file) => !files.includes(file)),
    [],
  );
});

test.serial(
  'the package serves where nothing of this clone is, and does not know of it',
  async (t) => {
    const world = new CliWorld(t);
    const { folder, program } = install(world);
    await serves(t, world, program);
    const script = await promisify(execFile)('npm', ['run', 'install'], { cwd: folder });
    t.regex(script.stdout, /^native addon: the one of the package can be loaded$/m);
    rmSync(path.join(folder, 'node_modules'), { recursive: true });
    for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!name.isFile()) continue;
      const file = path.join(name.parentPath, name.name);
      t.false(readFileSync(file).includes(ROOT), `${file} names the folder of this clone`);
    }
  },
);

requires(
  'g++',
  'make',
  'python3',
)('the package builds its addon where the one that it has cannot be loaded', async (t) => {
  t.timeout(600_000);
  const world = new CliWorld(t);
  const { folder, program } = install(world);
  rmSync(path.join(folder, 'native/ublk/build'), { recursive: true });
  // Half of the time of this test would be the optimiser's.
  const env = { ...process.env, CXXFLAGS: '-O0' };
  const script = await promisify(execFile)('npm', ['run', 'install'], { cwd: folder, env });
  t.regex(script.stdout, /^native addon: built native\/ublk\/build\/Release\/bandstand\.node in /m);
  await serves(t, world, program);
});
