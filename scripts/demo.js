/**
 * The demonstration: `npm run demo`.
 *
 * Makes disks out of sparse files in a temporary folder and does with the real command line what a
 * person would do with real disks: a mirror, written and read through its export, stopped, exported
 * again, and exported with a disk missing; then a parity array under the log-structured layer, and
 * an NV cache, which takes small writes anywhere, and whose server is killed behind them; then a
 * parity array whose content this script computed and wrote by itself, without any code of
 * bandstand, read through the export and reconstructed with each disk missing in turn. Every byte
 * that is read is compared. Nothing outside the folder is touched, and the folder is removed at the
 * end, also after a failure or Ctrl-C.
 */

import { spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbdClient } from './nbd-client.js';

const MIB = 2 ** 20;
const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PROGRAM = path.join(ROOT, 'bin', 'bandstand.js');
const COMMAND_TIMEOUT_MS = 120_000;

const DISK_BYTES = 256 * MIB;
const MIRROR_BYTES = 32 * MIB;
const PARITY_DISK_BYTES = 16 * MIB;
const LOG_DISK_BYTES = 64 * MIB;
const CACHE_BYTES = 16 * MIB;
const SMALL_WRITES = 1500;
const SMALL_BYTES = 4096;
const STRIP_BYTES = 64 * 1024;

const started = Date.now();
let folder = '';
let interrupted = false;
const running = new Set();
const stacks = new Set();
/** Empty until the first export has chosen between ublk and NBD. */
const via = [];

// --- what a person sees -------------------------------------------------------------------------

const colour = process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
const paint = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = (text) => paint(1, text);
const dim = (text) => paint(2, text);
const green = (text) => paint(32, text);
const red = (text) => paint(31, text);

const print = (text = '') => process.stdout.write(`${text}\n`);
const indent = (text, by) => text.replace(/^(?=.)/gm, by);

let stepNumber = 0;
function step(title) {
  stepNumber += 1;
  print();
  print(bold(`${stepNumber}  ${title}`));
}
const command = (text) => print(`   ${dim('$')} ${text}`);
const output = (text) => {
  if (text !== '') print(indent(text.trimEnd(), '     '));
};
const fact = (text) => print(`   ${green('✔')} ${text}`);

const size = (bytes) => (bytes % MIB === 0 ? `${bytes / MIB} MiB` : `${bytes} bytes`);
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

// --- the real command line ----------------------------------------------------------------------

/** Runs bandstand in the folder; returns { status, stdout, stderr }. */
function run(words) {
  const common = ['--run-dir', path.join(folder, 'run'), '--state-dir', path.join(folder, 'state')];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...words, ...common], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
      timeout: COMMAND_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    running.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('error', reject);
    child.on('close', (status, signal) => {
      running.delete(child);
      if (signal === 'SIGKILL' && !interrupted) {
        reject(new Error(`bandstand ${words[0]} took longer than ${COMMAND_TIMEOUT_MS / 1000} s`));
      } else resolve({ status, stdout, stderr });
    });
  });
}

/** Shows and runs a command that has to succeed; returns its stdout. */
async function bandstand(...words) {
  if (interrupted) throw new Error('interrupted');
  command(`bandstand ${words.join(' ')}`);
  const { status, stdout, stderr } = await run(words);
  output(stderr);
  output(stdout);
  if (interrupted) throw new Error('interrupted');
  if (status !== 0) throw new Error(`bandstand ${words[0]} ended with status ${status}`);
  return stdout;
}

/** Shows and runs a command that has to be refused, with a message that says `why`. */
async function refused(why, ...words) {
  command(`bandstand ${words.join(' ')}`);
  const { status, stderr } = await run(words);
  output(stderr);
  if (interrupted) throw new Error('interrupted');
  if (status !== 1) throw new Error(`bandstand ${words[0]} ended with status ${status}, not 1`);
  if (!why.test(stderr)) throw new Error(`bandstand ${words[0]} was refused for another reason`);
}

async function create(name, ...words) {
  await bandstand('create', name, ...words, '--yes');
  stacks.add(name);
}

/** Exports a stack and opens it: as a client over NBD, or as a block device. */
async function openExport(name, ...words) {
  const address = (await bandstand('export', name, ...words, ...via)).trim();
  const isNbd = address.startsWith('nbd+unix://');
  // The first export has said which way it took and why; that need not be said again.
  if (via.length === 0) via.push('--via', isNbd ? 'nbd' : 'ublk');
  return isNbd ? openNbd(address) : openDevice(address);
}

async function openNbd(address) {
  const url = new URL(address);
  const name = decodeURIComponent(url.pathname.slice(1));
  const client = await NbdClient.connect(url.searchParams.get('socket'), name);
  return {
    kind: 'NBD',
    bytes: client.bytes,
    read: (at, length) => client.readAll(at, length),
    put: (at, bytes) => client.writeAll(at, bytes),
    async write(at, bytes) {
      await client.writeAll(at, bytes);
      await client.flush();
    },
    close: () => client.close(),
  };
}

/**
 * A block device. Each operation opens and closes it: the last close empties the page cache, so
 * that what is read was fetched from the device and not remembered by the kernel.
 */
async function openDevice(device) {
  const sectors = await readFile(`/sys/class/block/${path.basename(device)}/size`, 'utf8');
  const put = async (at, data, sync = false) => {
    const handle = await open(device, 'r+');
    try {
      for (let done = 0; done < data.length; ) {
        done += (await handle.write(data, done, data.length - done, at + done)).bytesWritten;
      }
      if (sync) await handle.sync();
    } finally {
      await handle.close();
    }
  };
  return {
    kind: 'ublk',
    bytes: Number(sectors.trim()) * 512,
    async read(at, length) {
      const handle = await open(device, 'r');
      try {
        const result = Buffer.alloc(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await handle.read(result, done, length - done, at + done);
          if (bytesRead === 0) throw new Error(`${device} ends at ${at + done}`);
          done += bytesRead;
        }
        return result;
      } finally {
        await handle.close();
      }
    },
    put,
    write: (at, data) => put(at, data, true),
    async close() {},
  };
}

// --- content ------------------------------------------------------------------------------------

/** Bytes that look random and can be made again: a cipher's key stream. */
function content(seed, bytes) {
  const key = createHash('sha256').update(`bandstand demo ${seed}`).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

function compare(what, actual, expected) {
  const at = firstDifference(actual, expected);
  if (at !== -1) throw new Error(`${what}: byte ${at} differs`);
  fact(`${what}: ${size(actual.length)} equal, sha256 ${digest(actual).slice(0, 16)}…`);
}

function firstDifference(a, b) {
  if (a.equals(b)) return -1;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) if (a[at] !== b[at]) return at;
  return length;
}

async function makeDisks(names, bytes) {
  command(`truncate -s ${bytes / MIB}M ${names.join(' ')}`);
  for (const name of names) {
    const handle = await open(path.join(folder, name), 'w');
    await handle.truncate(bytes);
    await handle.close();
  }
}

async function takeAway(name) {
  command(`mv ${name} ${name}.away`);
  await rename(path.join(folder, name), path.join(folder, `${name}.away`));
}

async function bringBack(name) {
  command(`mv ${name}.away ${name}`);
  await rename(path.join(folder, `${name}.away`), path.join(folder, name));
}

// --- the three arrays ---------------------------------------------------------------------------

async function mirror() {
  const data = content('mirror', MIRROR_BYTES);
  const at = 8 * MIB;

  step('A mirror of two disks');
  await makeDisks(['disk0.img', 'disk1.img'], DISK_BYTES);
  await create('mirror', '--raid', 'raid1', 'disk0.img', 'disk1.img');

  step('Export it, write to it, read it back');
  let device = await openExport('mirror');
  await device.write(at, data);
  fact(`wrote ${size(data.length)} through ${device.kind} and flushed them`);
  compare('read back through the export', await device.read(at, data.length), data);
  await device.close();
  await bandstand('status', 'mirror');

  step('Stop it, and export it again');
  await bandstand('stop', 'mirror');
  device = await openExport('mirror');
  compare('still there', await device.read(at, data.length), data);
  await device.close();
  await bandstand('stop', 'mirror');

  step('Lose a disk');
  await takeAway('disk0.img');
  await refused(/slot 0.*no device holds it/, 'export', 'mirror', ...via);
  fact('refused: running without redundancy is a decision, not an accident');
  device = await openExport('mirror', '--degraded');
  compare('read from the other disk', await device.read(at, data.length), data);
  await device.close();
  await bandstand('status', 'mirror');
  await bandstand('stop', 'mirror');
  stacks.delete('mirror');
}

async function log() {
  const disks = ['disk6.img', 'disk7.img', 'disk8.img', 'disk9.img'];

  step('A parity array that takes small writes, with a fast device in front');
  await makeDisks(disks, LOG_DISK_BYTES);
  await makeDisks(['ssd.img'], CACHE_BYTES);
  const cache = ['--cache', 'ssd.img'];
  await create('log', '--raid', 'raid5f', '--strip-size', '64K', ...disks, ...cache);

  step('Write small blocks all over it, and kill its server');
  let device = await openExport('log');
  const places = smallPlaces(device.bytes);
  for (const [index, at] of places.entries()) await device.put(at, small(index));
  fact(`wrote ${places.length} blocks of ${SMALL_BYTES} bytes at random places, and flushed none`);
  await device.close();
  await kill('log');
  device = await openExport('log');
  await compareSmall('all of them are there', device, places);
  await bandstand('status', 'log');
  fact('the new server has found them in the NV cache');

  step('Take the fast device away, while it is in use');
  await bandstand('cache', 'detach', 'log');
  await compareSmall('read without the cache', device, places);
  await device.close();

  step('Stop it, and lose a disk');
  await bandstand('stop', 'log');
  await takeAway(disks[1]);
  device = await openExport('log', '--degraded');
  await compareSmall('computed from the other three', device, places);
  await device.close();
  await bandstand('stop', 'log');
  stacks.delete('log');
}

/** Different blocks, the same in each run. */
function smallPlaces(bytes) {
  const numbers = content('places', 8 * SMALL_WRITES);
  const places = new Set();
  for (let at = 0; places.size < SMALL_WRITES; at += 4) {
    places.add((numbers.readUInt32LE(at) % (bytes / SMALL_BYTES)) * SMALL_BYTES);
  }
  return [...places];
}

const small = (index) => content(`small ${index}`, SMALL_BYTES);

async function compareSmall(what, device, places) {
  const found = [];
  for (const at of places) found.push(await device.read(at, SMALL_BYTES));
  compare(what, Buffer.concat(found), Buffer.concat(places.map((_, index) => small(index))));
}

/** SIGKILL: nothing is flushed, nothing is said. */
async function kill(name) {
  const { stdout } = await run(['status', name, '--json']);
  const { pid } = JSON.parse(stdout).data.server;
  command(`kill -9 ${pid}`);
  process.kill(pid, 'SIGKILL');
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function parity() {
  const disks = ['disk2.img', 'disk3.img', 'disk4.img', 'disk5.img'];

  step('A parity array of four disks');
  await makeDisks(disks, PARITY_DISK_BYTES);
  await create('parity', '--raid', 'raid5f', '--strip-size', '64K', '--no-ftl', ...disks);

  step('Fill its disks without bandstand');
  const { dataOffset, stripes } = await layoutOf(disks[0]);
  const data = content('parity', stripes * STRIP_BYTES * (disks.length - 1));
  await writeByHand(disks, dataOffset, stripes, data);
  fact(`this script laid out ${size(data.length)} in ${stripes} stripes and computed their parity`);

  step('Export it, and compare');
  const device = await openExport('parity', '--read-only');
  if (device.bytes !== data.length) {
    throw new Error(`the export has ${device.bytes} bytes, expected ${data.length}`);
  }
  compare('read through the export', await device.read(0, data.length), data);
  await device.close();
  await bandstand('stop', 'parity');

  step('Lose its first disk, then its last one instead');
  for (const disk of [disks[0], disks.at(-1)]) {
    await takeAway(disk);
    const degraded = await openExport('parity', '--read-only', '--degraded');
    compare('reconstructed from the other three', await degraded.read(0, data.length), data);
    await degraded.close();
    await bandstand('stop', 'parity');
    await bringBack(disk);
  }
  stacks.delete('parity');
}

/** Where the data of a member starts, and how many stripes fit: from its superblock. */
async function layoutOf(disk) {
  const handle = await open(path.join(folder, disk), 'r');
  try {
    const block = Buffer.alloc(4096);
    await handle.read(block, 0, block.length, 0);
    if (block.toString('latin1', 0, 8) !== 'SPDKRAID') throw new Error('no superblock was written');
    // The layout of SPDK's superblock: block size at 112, the first member's entry at 256.
    const blockBytes = block.readUInt32LE(112);
    const dataOffset = Number(block.readBigUInt64LE(256 + 16)) * blockBytes;
    const dataBytes = Number(block.readBigUInt64LE(256 + 24)) * blockBytes;
    return { dataOffset, stripes: Math.floor(dataBytes / STRIP_BYTES) };
  } finally {
    await handle.close();
  }
}

/**
 * Writes `data` to the members as raid5f defines it: the parity of stripe s is on member
 * n−1−(s mod n); the data strips go to the other members in ascending order.
 */
async function writeByHand(disks, dataOffset, stripes, data) {
  const members = disks.map(() => Buffer.alloc(stripes * STRIP_BYTES));
  const count = disks.length;
  for (let stripe = 0; stripe < stripes; stripe += 1) {
    const parityMember = count - 1 - (stripe % count);
    const at = stripe * STRIP_BYTES;
    const sum = new Uint32Array(STRIP_BYTES / 4);
    let strip = stripe * (count - 1);
    for (let member = 0; member < count; member += 1) {
      if (member === parityMember) continue;
      const bytes = data.subarray(strip * STRIP_BYTES, (strip + 1) * STRIP_BYTES);
      bytes.copy(members[member], at);
      for (let word = 0; word < sum.length; word += 1) sum[word] ^= bytes.readUInt32LE(word * 4);
      strip += 1;
    }
    for (let word = 0; word < sum.length; word += 1) {
      members[parityMember].writeUInt32LE(sum[word], at + word * 4);
    }
  }
  for (let member = 0; member < count; member += 1) {
    const handle = await open(path.join(folder, disks[member]), 'r+');
    await handle.write(members[member], 0, members[member].length, dataOffset);
    await handle.sync();
    await handle.close();
  }
}

// --- beginning and end --------------------------------------------------------------------------

async function cleanUp() {
  for (const name of stacks) {
    const { status, stderr } = await run(['stop', name]);
    if (status === 0) continue;
    print(red(`could not stop ${name}; ending its server`));
    output(stderr);
    await endServer(name);
  }
  stacks.clear();
  if (folder !== '') await rm(folder, { recursive: true, force: true });
}

/** The last resort when `stop` does not work: the server that status names. */
async function endServer(name) {
  const { status, stdout } = await run(['status', name, '--json']);
  const pid = status === 0 ? JSON.parse(stdout).data.server?.pid : undefined;
  if (Number.isInteger(pid) && pid > 1) process.kill(pid, 'SIGKILL');
}

function epilogue() {
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  print();
  print(bold(`Everything was as it should be, in ${seconds} s. The files are gone.`));
  print();
  print('With real disks (create refuses a disk that holds anything):');
  print();
  print('   $ sudo bandstand create tank --raid raid1 /dev/sdX /dev/sdY');
  print('   $ sudo bandstand export tank           # prints /dev/ublkb0, or an NBD address');
  print('   $ sudo mkfs.ext4 /dev/ublkb0 && sudo mount /dev/ublkb0 /mnt');
  print('   $ bandstand status tank');
  print('   $ sudo umount /mnt && sudo bandstand stop tank');
}

async function main() {
  if (!existsSync(path.join(ROOT, 'dist', 'program', 'main.js'))) {
    throw new Error('dist/ is missing: run `npm ci` (or `npm run build`) first');
  }
  folder = await mkdtemp(path.join(os.tmpdir(), 'bandstand-demo-'));
  await mkdir(path.join(folder, 'run'), { mode: 0o700 });
  print(bold('bandstand: a demonstration with files as disks'));
  print(`In ${folder}; nothing else is touched. Each command also gets`);
  print('--run-dir and --state-dir, so that its sockets and its memory are in there too.');
  await mirror();
  await log();
  await parity();
}

function interrupt(signal) {
  if (interrupted) return;
  interrupted = true;
  print();
  print(`${signal}: cleaning up`);
  cleanUp().finally(() => process.exit(128 + os.constants.signals[signal]));
}
process.on('SIGINT', () => interrupt('SIGINT'));
process.on('SIGTERM', () => interrupt('SIGTERM'));

try {
  await main();
  await cleanUp();
  epilogue();
} catch (error) {
  // After Ctrl-C a command that ended early is no news; interrupt() cleans up and exits.
  if (!interrupted) {
    print();
    print(red(`The demonstration failed: ${error.message}`));
    await cleanUp();
    process.exitCode = 1;
  }
}
