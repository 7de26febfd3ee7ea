/**
 * The picture of the monitor in README.md: `npm run docs:picture`, which builds the program first.
 *
 * Nothing of it is drawn by hand: a stack of parity, FTL and NV cache over files is created and
 * exported, written to, loses a member and is rebuilt, and what a real terminal (tmux) shows of
 * `bandstand monitor` meanwhile becomes docs/monitor.svg. Each run of cells with the same look is
 * one text of a fixed width, so that it fits in any font. The folder that all this happens in is
 * as long as the one that is shown in its place, so that nothing moves.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NbdClient } from './nbd-client.js';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PROGRAM = path.join(ROOT, 'bin', 'bandstand.js');
const PICTURE = path.join(ROOT, 'docs', 'monitor.svg');
const BYTES_MAX = 60_000;

const MIB = 2 ** 20;
const COLUMNS = 100;
const ROWS = 32;
const SHOWN_FOLDER = '/srv/bandstand';
const SEEN = /^ tank {2}DEGRADED .*\brebuild [2-9]\d*\.\d %/m;
const SECONDS_MAX = 300;

// --- a real stack on a real terminal ------------------------------------------------------------

const folder = mkdtempSync('/tmp/bs-');
if (folder.length !== SHOWN_FOLDER.length) throw new Error(`${folder} is of another length`);
const place = (name) => path.join(folder, name);
const directories = ['--run-dir', place('run'), '--state-dir', place('state')];
const environment = { ...process.env, TMUX: '', LC_ALL: 'C.UTF-8' };
for (const name of ['CI', 'NO_COLOR', 'FORCE_COLOR']) delete environment[name];

function bandstand(...words) {
  const all = [PROGRAM, ...words, ...directories];
  return execFileSync(process.execPath, all, { encoding: 'utf8', timeout: 120_000 });
}

function tmux(...words) {
  const all = ['-f', '/dev/null', '-S', place('tmux'), ...words];
  return execFileSync('tmux', all, { encoding: 'utf8', env: environment });
}

function disk(name, bytes) {
  writeFileSync(place(name), '');
  truncateSync(place(name), bytes);
  return place(name);
}

async function capture() {
  mkdirSync(place('run'));
  const disks = ['disk0', 'disk1', 'disk2', 'disk3'].map((name) => disk(name, 64 * MIB));
  const spare = disk('disk4', 64 * MIB);
  const layout = ['--raid', 'raid5f', '--strip-size', '32K', '--cache', disk('ssd0', 16 * MIB)];
  bandstand('create', 'tank', ...layout, ...disks);
  const address = new URL(bandstand('export', 'tank', '--via', 'nbd').trim());
  const client = await NbdClient.connect(address.searchParams.get('socket'), 'tank');
  await client.writeAll(0, Buffer.alloc(64 * MIB, 'bandstand'));
  bandstand('wait', 'tank');
  bandstand('rebuild', 'tank', '--rate', '256K');
  bandstand('member', 'fail', 'tank', '2');
  bandstand('member', 'add', 'tank', spare);

  const size = ['-x', String(COLUMNS), '-y', String(ROWS)];
  const monitor = [process.execPath, PROGRAM, 'monitor', 'tank', ...directories];
  tmux('new-session', '-d', ...size, ...monitor);
  for (let round = 0; round < SECONDS_MAX * 5; round += 1) {
    // More at one time than at another, as of people.
    const blocks = 4 + (Math.floor(round / 7) % 5) * 9;
    for (let block = 0; block < blocks; block += 1) {
      const at = ((round * 131 + block * 977) % 12_288) * 4096;
      await client.writeAll(at, Buffer.alloc(4096, round));
      if (block % 2 === 0) await client.readAll(at, 4096);
    }
    await sleep(200);
    if (round > 60 && SEEN.test(tmux('capture-pane', '-p'))) {
      return tmux('capture-pane', '-p', '-e');
    }
  }
  throw new Error(`a rebuild was not seen on\n${tmux('capture-pane', '-p')}`);
}

// --- from the cells of a terminal to a picture --------------------------------------------------

const CELL = { width: 8, height: 17 };
const MARGIN = 14;
/** Of a dark terminal, on a background of its own: as readable on a light page as on a dark one. */
const BACKGROUND = '#16191d';
const FOREGROUND = '#d7dae0';
const DIM = '#8b93a1';
const COLOURS = '#5c6370 #f07178 #8fce6b #ffcb6b #6ea8fe #d49bf0 #56c8d8 #d7dae0'.split(' ');
const PLAIN = { bold: false, dim: false, underline: false, inverse: false, colour: null };

/** The look after the numbers of one SGR sequence. */
function lookAfter(before, numbers) {
  const look = { ...before };
  for (const number of numbers) {
    if (number === 0) Object.assign(look, PLAIN);
    else if (number === 1) look.bold = true;
    else if (number === 2) look.dim = true;
    else if (number === 4) look.underline = true;
    else if (number === 7) look.inverse = true;
    else if (number === 22) Object.assign(look, { bold: false, dim: false });
    else if (number === 24) look.underline = false;
    else if (number === 27) look.inverse = false;
    else if (number === 39 || number === 49) look.colour = null;
    else if (number >= 30 && number <= 37) look.colour = COLOURS[number - 30];
    else if (number >= 90 && number <= 97) look.colour = COLOURS[number - 90];
    else throw new Error(`a look that is not known: ${number}`);
  }
  return look;
}

/** Lines of runs: `{ at, text, look }`. A look goes on into the next line. */
function runsOf(screen) {
  let look = PLAIN;
  return screen.split('\n').map((line) => {
    const runs = [];
    let at = 0;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what begins a sequence.
    for (const [, numbers, text] of line.matchAll(/\u001b\[([\d;]*)m|([^\u001b]+)/g)) {
      if (text === undefined) {
        look = lookAfter(look, numbers.split(';').map(Number));
        continue;
      }
      runs.push({ at, text, look });
      at += [...text].length;
    }
    return runs;
  });
}

const escaped = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Words of a run that stand apart get a text each: a font may have blanks of another width. */
function wordsOf({ at, look, text }) {
  if (look.inverse || look.underline) return [{ at, look, text }];
  return [...text.matchAll(/\S+(?: \S+)*/g)].map((match) => ({
    at: at + [...text.slice(0, match.index)].length,
    look,
    text: match[0],
  }));
}

function textOf({ at, look, text }, row) {
  const x = MARGIN + at * CELL.width;
  const y = MARGIN + row * CELL.height;
  const width = [...text].length * CELL.width;
  const colour = look.colour ?? (look.dim ? DIM : FOREGROUND);
  const box = look.inverse
    ? `<rect x="${x}" y="${y}" width="${width}" height="${CELL.height}" fill="${colour}"/>`
    : '';
  const style = [
    look.inverse || colour !== FOREGROUND ? ` fill="${look.inverse ? BACKGROUND : colour}"` : '',
    look.bold ? ' font-weight="bold"' : '',
    look.underline ? ' text-decoration="underline"' : '',
  ].join('');
  const fit = `textLength="${width}" lengthAdjust="spacingAndGlyphs"`;
  return `${box}<text x="${x}" y="${y + 13}" ${fit}${style}>${escaped(text)}</text>`;
}

function picture(screen) {
  const width = COLUMNS * CELL.width + 2 * MARGIN;
  const height = ROWS * CELL.height + 2 * MARGIN;
  const texts = runsOf(screen).flatMap((runs, row) =>
    runs.flatMap(wordsOf).map((run) => textOf(run, row)),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="bandstand monitor during a rebuild">`,
    `<rect width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>`,
    `<g fill="${FOREGROUND}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" xml:space="preserve">`,
    ...texts,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

try {
  const screen = (await capture()).trimEnd().replaceAll(folder, SHOWN_FOLDER);
  const svg = picture(screen);
  if (svg.includes('/tmp')) throw new Error('a path of this machine is cut off in the picture');
  if (svg.length > BYTES_MAX) throw new Error(`the picture has ${svg.length} bytes`);
  writeFileSync(PICTURE, svg);
  process.stdout.write(`${path.relative(ROOT, PICTURE)}: ${svg.length} bytes\n`);
} finally {
  for (const end of [() => tmux('kill-server'), () => bandstand('stop', 'tank')]) {
    try {
      end();
    } catch {
      // It was not started, or has ended.
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
