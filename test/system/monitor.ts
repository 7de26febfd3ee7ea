/** The monitor on a real terminal, of a real stack: a rebuild, a killed server, and the way out. */

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { PROGRAM, ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { DISK_BYTES, eventually, noise, StackWorld } from '../_helpers/running-stack.ts';
import { quoted, Tmux } from '../_helpers/tmux.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what begins a sequence.
const YELLOW_DEGRADED = /\u001b\[(?:[\d;]*;)?33mDEGRADED/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what begins a sequence.
const COLOURS = /\u001b\[([\d;]*)m/g;

requires('tmux')(
  'a rebuild, a killed server and its return are shown; quit gives the terminal back',
  async (t) => {
    const world = new StackWorld(t);
    const [a, b, c] = world.files(3, DISK_BYTES) as [string, string, string];
    await world.ok('create', 'tank', '--raid', 'raid1', a, b);
    await world.export('tank');
    await world.write('tank', noise(2 ** 20, 3));
    await world.ok('wait', 'tank');
    await world.ok('rebuild', 'tank', '--rate', '64K');

    const tmux = new Tmux(t, world.folder, 100, 30);
    await tmux.sees(/READY:/);
    const monitor = [process.execPath, PROGRAM, 'monitor', 'tank', '--interval', '0.5s'];
    tmux.type(quoted([...monitor, ...world.directories]), 'Enter');
    await tmux.sees(/^ tank {2}HEALTHY {2}\[2\/2 UU\] {2}idle/m);
    t.is(tmux.format('alternate_on'), '1');
    t.is(tmux.format('cursor_flag'), '0');

    await world.ok('member', 'fail', 'tank', b);
    await tmux.sees(/^ tank {2}DEGRADED {2}\[1\/2 U_\]/m);
    t.regex(tmux.coloured, YELLOW_DEGRADED);
    await tmux.sees(/▸ put a device in its place: bandstand member add tank DEVICE/);
    await world.ok('member', 'add', 'tank', c);
    await tmux.sees(/^ tank {2}DEGRADED {2}\[1\/2 Ur\] {2}rebuild \d+\.\d %/m);
    await tmux.sees(/─ rebuild of slot 1 ─/);
    await tmux.sees(/limit 64 KiB\/s/);
    await tmux.sees(/I rebuild of slot 1 onto .* started/);
    for (const [columns, rows] of [
      [200, 50],
      [80, 24],
      [60, 16],
      [45, 12],
      [30, 6],
      [100, 30],
    ] as const) {
      tmux.resize(columns, rows);
      await tmux.sees(
        columns >= 40 ? /^ tank {2}DEGRADED/m : /^tank {2}DEGRADED[\s\S]*30×6: more from 40×8/m,
      );
      if (columns >= 60) await tmux.sees(new RegExp(`^└─{${columns - 2}}┘$`, 'm'));
    }

    process.kill(await world.serverPid('tank'), 'SIGKILL');
    await tmux.sees(/^ tank {2}STOPPED .*SERVER GONE since/m);
    await tmux.sees(/! its server ended without a clean stop/);
    await world.export('tank');
    // The rebuild goes on from where it was, and may be over already.
    await tmux.sees(/^ tank {2}(?:DEGRADED|HEALTHY) {2}\[/m);
    t.notRegex(tmux.text, /SERVER GONE/);

    tmux.type('q');
    await tmux.sees(/READY:$/m);
    t.regex(tmux.text, /^tank is (?:healthy|degraded).*, and keeps running$/m);
    t.is(tmux.format('alternate_on'), '0');
    t.is(tmux.format('cursor_flag'), '1');
    tmux.type('stty -a; echo $((40+2))', 'Enter');
    await tmux.sees(/^42$/m);
    t.regex(tmux.text, /(?<!-)\bicanon\b/, 'the terminal edits lines again');
    t.regex(tmux.text, /(?<!-)\becho\b/);
    t.not((await world.status('tank'))['server'], null, 'the stack keeps running');
    await world.ok('stop', 'tank');
  },
);

requires('tmux')(
  'a signal ends it as q does, and suspended it gives the terminal away',
  async (t) => {
    const world = new StackWorld(t);
    await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
    const tmux = new Tmux(t, world.folder, 80, 24);
    await tmux.sees(/READY:/);
    const monitor = [process.execPath, PROGRAM, 'monitor', 'tank', ...world.directories];
    tmux.type(`set -m; NO_COLOR=1 ${quoted(monitor)}; echo $((40+2))`, 'Enter');
    await tmux.sees(/^ tank {2}STOPPED/m);
    t.regex(tmux.text, /▸ export it: bandstand export tank/);
    const codes = [...tmux.coloured.matchAll(COLOURS)].flatMap(([, numbers]) =>
      numbers!.split(';'),
    );
    t.true(codes.includes('1'), 'bold is no colour');
    t.false(
      codes.some((code) => /^(?:[39][0-7]|4[0-7]|10[0-7]|38|48)$/.test(code)),
      codes.join(' '),
    );
    tmux.type('C-z');
    await tmux.sees(/READY:$/m);
    t.is(tmux.format('alternate_on'), '0');
    t.is(tmux.format('cursor_flag'), '1');
    tmux.type('fg', 'Enter');
    await tmux.sees(/^ tank {2}STOPPED/m);
    t.is(tmux.format('alternate_on'), '1');
    tmux.type('C-z');
    await tmux.sees(/READY:$/m);
    tmux.type('kill -TERM %1; fg; echo $((50+2))', 'Enter');
    await tmux.sees(/^52$/m);
    t.is(tmux.format('alternate_on'), '0');
    t.is(tmux.format('cursor_flag'), '1');
  },
);

/** Files of the bundle that are loaded with `name`, and what they import of packages. */
function loadedWith(name: string): Set<string> {
  const loaded = new Set<string>();
  const follow = (file: string): void => {
    if (loaded.has(file)) return;
    loaded.add(file);
    if (!file.startsWith('./')) return;
    const text = readFileSync(path.join(ROOT, 'dist/program', file), 'utf8');
    for (const [, from] of text.matchAll(/^(?:import|\} from|export .* from)\b.*"([^"]+)";$/gm)) {
      follow(from!);
    }
  };
  follow(name);
  return loaded;
}

test('no other command loads Ink or React, and the monitor does not before it draws', (t) => {
  const files = readdirSync(path.join(ROOT, 'dist/program')).map((file) => `./${file}`);
  const drawing = files.filter((file) => loadedWith(file).has('ink'));
  t.deepEqual(
    drawing.map((file) => file.replace(/-[0-9A-Z]+/, '')),
    ['./monitor.js'],
  );
  for (const file of ['./main.js', './server-entry.js', './stack-worker.js']) {
    const loaded = loadedWith(file);
    t.true(loaded.size > 1, `${file} imports something`);
    t.false(loaded.has('react'), file);
    t.false(loaded.has(drawing[0]!), file);
  }
});

test('without a terminal it prints lines until it is interrupted', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  await world.ok('wait', 'tank');
  const follow = async (...words: string[]) => {
    const all = [PROGRAM, 'monitor', '--interval', '0.5s', ...words, ...world.directories];
    const child = spawn(process.execPath, all, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = new Promise((resolve) => child.once('close', resolve));
    const lines = words.includes('--screen-reader') ? 1 : 2;
    await eventually('lines arrive', () => stdout.split('\n').length > lines, 30);
    child.kill('SIGTERM');
    t.is(await ended, 0, stderr);
    t.is(stderr, '');
    return stdout.trim().split('\n');
  };
  const [first, second] = await follow();
  t.regex(first!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ tank healthy idle$/);
  t.regex(second!, /^\S+Z tank healthy idle read=0B\/s write=0B\/s$/);
  const [document] = (await follow('tank', '--json')).map((line) => JSON.parse(line));
  t.is(document.schema, 'bandstand.status/1');
  t.is(document.data.health, 'healthy');
  t.deepEqual(await follow('tank', '--screen-reader'), ['tank is healthy.']);
  await world.ok('stop', 'tank');
});
