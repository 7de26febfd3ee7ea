/**
 * `npm run test:vm [-- FILE…]`: runs test/vm/*.sh as root in a guest with Debian's 6.12 kernel.
 *
 * All files share one boot as long as the guest lives. A file that hangs or takes the guest down
 * fails, and the files after it get a fresh boot. Each boot adds one test of its own: that the
 * kernel logged no warning. A machine that cannot run a guest reports every test as skipped, with
 * the reason; with CI or BANDSTAND_CI set that is a failure instead.
 *
 * A file may ask for a power cut by printing a line of its own (`cutLine`): QEMU is killed, and the
 * next boot, on the same disks, begins with the same file again and POWER_CUTS one higher. Such
 * files have boots of their own. Where a file says that disks lose their caches, what no flush had
 * covered is then lost or not (BANDSTAND_SEED chooses).
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runInGuest } from './vm/guest.js';
import { prepareKernel } from './vm/kernel.js';
import { clone } from './vm/package.js';
import { missingForGuest } from './vm/qemu.js';
import { TapReport } from './vm/tap.js';
import { copyDisk, loseUnflushed } from './vm/write-log.js';

const folder = path.join(clone, 'test/vm');
const fileSeconds = Number(process.env.BANDSTAND_VM_FILE_SECONDS ?? 600);
const totalSeconds = Number(process.env.BANDSTAND_VM_SECONDS ?? 1500);
const hangStatus = 99;
const cutLine = '# power cut';
/** More than a file needs; one that never gets further must not run for ever. */
const cutsMax = 40;
const seed = Number(process.env.BANDSTAND_SEED ?? 1);

/**
 * Four members of 512-byte blocks with a volatile cache, two of 4096-byte blocks, and one that is
 * small, so that an NV cache on it has gone round soon.
 */
const disks = {
  a: { size: 192 * 1024 ** 2 },
  b: { size: 192 * 1024 ** 2 },
  c: { size: 192 * 1024 ** 2 },
  d: { size: 192 * 1024 ** 2 },
  e: { size: 96 * 1024 ** 2, blockSize: 4096 },
  f: { size: 96 * 1024 ** 2, blockSize: 4096 },
  g: { size: 8 * 1024 ** 2 },
};

const diskFolder = mkdtempSync(path.join(os.tmpdir(), 'bandstand-vm-disks-'));
process.once('exit', () => rmSync(diskFolder, { recursive: true, force: true }));

const diskFile = (name, what) => path.join(diskFolder, `${name}.${what}`);

/** The disks with their files: those of the boot before after a power cut, else new ones. */
function disksOf(cuts, isLogged) {
  if (cuts === 0) rmSync(diskFolder, { recursive: true, force: true });
  mkdirSync(diskFolder, { recursive: true });
  return Object.fromEntries(
    Object.entries(disks).map(([name, disk]) => {
      const file = diskFile(name, 'disk');
      if (!isLogged) return [name, { ...disk, file }];
      if (cuts > 0) copyDisk(file, diskFile(name, 'base'));
      else writeFileSync(diskFile(name, 'base'), '');
      truncateSync(diskFile(name, 'base'), disk.size);
      return [name, { ...disk, file, log: diskFile(name, 'log') }];
    }),
  );
}

/** The caches of all disks are lost. */
function loseCaches(boot, report) {
  const told = Object.entries(disks).map(([name, { blockSize: blockBytes = 512 }], index) => {
    const [log, base, file] = ['log', 'base', 'disk'].map((what) => diskFile(name, what));
    const result = loseUnflushed({ log, base, file, blockBytes, seed: seed + boot * 100 + index });
    return `${name} ${result === null ? 'nothing' : `${result.lost} of ${result.writes}`}`;
  });
  report.comment(`seed ${seed}; writes lost that were not flushed: ${told.join(', ')}`);
}

/** The files of the next boot: what cuts power has one for itself. */
function nextGroup(files) {
  const cutter = files.findIndex(cutsPower);
  return cutter === -1 ? files : files.slice(0, Math.max(1, cutter));
}

const sourceOf = (file) => readFileSync(path.join(folder, `${file}.sh`), 'utf8');
const cutsPower = (file) => sourceOf(file).includes('/_power-cut.sh"');
const losesCaches = (file) => sourceOf(file).includes('disks lose their caches');

function selectFiles(wanted) {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.sh') && !name.startsWith('_'))
    .map((name) => name.slice(0, -'.sh'.length))
    .sort();
  const names = wanted.map((name) => path.basename(name, '.sh'));
  const unknown = names.find((name) => !files.includes(name));
  if (unknown !== undefined) throw new Error(`no test/vm/${unknown}.sh`);
  return names.length > 0 ? names : files;
}

/** The titles that a file would report, read from its text. */
function titlesOf(file) {
  const text = readFileSync(path.join(folder, `${file}.sh`), 'utf8');
  return [...text.matchAll(/^ *(?:scenario|foundation) '(.*)' \w+$/gm)].map(([, title]) => title);
}

async function findObstacle() {
  const missing = missingForGuest();
  if (missing.length > 0) return missing.join('; ');
  return prepareKernel().then(
    () => undefined,
    (error) => (error.stderr || error.message).trim(),
  );
}

/** Runs every file, each under its own limit, and stops at one that hangs. */
const loopScript = (files, cuts) => `
cuts=${cuts}
for file in ${files.join(' ')}; do
  echo "# begin $file"
  POWER_CUTS=$cuts timeout -k 10 ${fileSeconds} bash "test/vm/$file.sh"
  status=$?
  cuts=0
  echo "# end $file $status"
  ((status < 124)) || exit ${hangStatus}
done`;

/**
 * Boots once for `files`, the first of which has had `cuts` power cuts.
 *
 * @returns {Promise<{files: string[], cuts: number}>} what the next boot has to do
 */
async function runBoot({ files: all, cuts }, boot, deadline, report) {
  const files = nextGroup(all);
  const isLogged = losesCaches(files[0]);
  let current;
  let reported = 0;
  let failedBefore = 0;
  let began = 0;
  const done = [];
  const onLine = (stream, line) => {
    const begin = /^# begin (\S+)$/.exec(line);
    const end = /^# end (\S+) (\d+)$/.exec(line);
    if (begin) {
      current = begin[1];
      reported = 0;
      began = Date.now();
      failedBefore = report.counts.failed;
    } else if (end) {
      const silent = report.counts.failed === failedBefore;
      if (end[2] !== '0' && silent) report.fail(`${current}: the script ends`, `status ${end[2]}`);
      if (reported === 0) report.fail(`${current}: the script reports tests`);
      report.comment(`${current} took ${((Date.now() - began) / 1000).toFixed(0)} s`);
      done.push(current);
      current = undefined;
    } else if (stream === 'stdout' && current !== undefined) {
      if (report.take(line, current)) reported++;
    } else report.comment(line);
  };
  const timeout = Math.max(60, (deadline - Date.now()) / 1000);
  const result = await runInGuest({
    script: loopScript(files, cuts),
    disks: disksOf(cuts, isLogged),
    timeout,
    onLine,
    cutOn: cutLine,
    environment: {
      NO_COLOR: '1',
      CI: process.env.CI ?? '',
      BANDSTAND_VM_CUTS: process.env.BANDSTAND_VM_CUTS ?? '',
      BANDSTAND_VM_TAKEOVERS: process.env.BANDSTAND_VM_TAKEOVERS ?? '',
      BANDSTAND_VM_KILLS: process.env.BANDSTAND_VM_KILLS ?? '',
      BANDSTAND_VM_PRESSURE: process.env.BANDSTAND_VM_PRESSURE ?? '',
    },
  });
  const cutsBefore = current === files[0] ? cuts : 0;
  const again = result.cut && cutsBefore < cutsMax && current !== undefined;
  if (again && isLogged) loseCaches(boot, report);
  if (current !== undefined && !again) {
    report.fail(`${current}: the guest survives it`, result.failure ?? `status ${result.status}`);
    done.push(current);
  }
  const tail = result.console.split('\n').slice(-60).join('\n');
  const title = `boot ${boot}: Linux ${result.release} (${result.accelerator}) logs no warning`;
  if (result.complaints.length > 0) report.fail(title, tail);
  else {
    report.pass(title);
    if (result.failure !== undefined && !result.cut) report.comment(tail);
  }
  return {
    files: all.filter((file) => !done.includes(file)),
    cuts: again ? cutsBefore + 1 : 0,
  };
}

const report = new TapReport();
const files = selectFiles(process.argv.slice(2));
const obstacle = await findObstacle();
if (obstacle !== undefined) {
  const strict = [process.env.CI, process.env.BANDSTAND_CI].some((value) => value && value !== '0');
  for (const file of files) {
    for (const title of titlesOf(file)) {
      if (strict) report.fail(`${file}: ${title}`, obstacle);
      else report.skip(`${file}: ${title}`, obstacle);
    }
  }
} else {
  const deadline = Date.now() + totalSeconds * 1000;
  let left = { files, cuts: 0 };
  for (let boot = 1; left.files.length > 0; boot++) {
    if (Date.now() > deadline) {
      for (const file of left.files) report.fail(`${file}: the run has time left for it`);
      break;
    }
    left = await runBoot(left, boot, deadline, report);
  }
}
report.finish();
process.exitCode = report.counts.failed > 0 ? 1 : 0;
