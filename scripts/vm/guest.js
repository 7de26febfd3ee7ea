/**
 * Runs one command in a throw-away Linux guest: QEMU and a Debian kernel, no image, no initramfs.
 *
 * The guest's root is this machine's `/`, read-only over virtiofs, with a tmpfs overlay on top:
 * whatever is installed here runs there unchanged (Node, fio, this clone with its dist/ and
 * node_modules/), and whatever the guest writes is gone afterwards. Standard output, standard error
 * and the exit status come back over virtio-serial ports; the console is kept apart, for the
 * kernel's own words. Nothing here needs KVM; it is used where it works.
 */
import { rmSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { prepareKernel } from './kernel.js';
import { clone } from './package.js';
import { kvmIsOpenable, startQemu, startVirtiofsd, streamNames } from './qemu.js';

/** Follows the last byte of a stream, because a port's socket does not end before QEMU does. */
const endMark = '\u0001end of stream\u0001';
const bootSeconds = { tcg: 120, kvm: 15 };
const bootAttempts = 3;

/** What a healthy kernel never says. I/O errors are not in it: tests cause those on purpose. */
const complaint = new RegExp(
  [
    'BUG:|Oops|WARNING: (?:CPU|possible)|blocked for more than|general protection|Kernel panic',
    'soft lockup|rcu: INFO: rcu_\\w+ (?:self-)?detected|unable to handle|KASAN|refcount_t:',
  ].join('|'),
);

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

const assignments = (variables, prefix = '') =>
  Object.entries(variables).map(([name, value]) => `${prefix}${name}=${quote(value)}\n`);

/** Collects one stream of the guest and hands over each line as it becomes complete. */
class GuestStream {
  text = '';
  #server;
  #told = 0;

  async listen(file, { onLine, onChange }) {
    this.#server = net.createServer((socket) => {
      socket.setEncoding('utf8');
      socket.on('error', () => {});
      socket.on('data', (text) => {
        this.text += text;
        for (let end = this.text.indexOf('\n', this.#told); end !== -1; ) {
          onLine?.(this.text.slice(this.#told, end));
          this.#told = end + 1;
          end = this.text.indexOf('\n', this.#told);
        }
        onChange();
      });
    });
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(file, resolve);
    });
  }

  get ended() {
    return this.text.endsWith(endMark);
  }

  get content() {
    return this.ended ? this.text.slice(0, -endMark.length) : this.text;
  }

  close() {
    this.#server?.close();
  }
}

const directories = new Set();

/** A directory that does not outlive this process, unless it is killed. */
async function makeDirectory() {
  if (directories.size === 0) {
    const removeAll = () => {
      for (const directory of directories) rmSync(directory, { recursive: true, force: true });
    };
    process.once('exit', removeAll);
    // The children die with this process (see qemu.js).
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(signal, () => process.exit(128 + os.constants.signals[signal]));
    }
  }
  const directory = await mkdtemp(path.join(os.tmpdir(), 'bandstand-vm-'));
  directories.add(directory);
  return directory;
}

/** Makes the sparse files behind the disks that bring none of their own. */
async function makeDisks(directory, disks) {
  const made = [];
  for (const [name, { size, file = path.join(directory, `${name}.disk`), ...rest }] of disks) {
    if (size !== undefined) {
      const handle = await open(file, 'a');
      await handle.truncate(size);
      await handle.close();
    }
    if (rest.log !== undefined) await writeFile(rest.log, '');
    made.push({ name, file, ...rest });
  }
  return made;
}

/** Writes the script that the kernel starts as process 1, and the command that this one runs. */
async function writeInit(directory, { kernel, modules, script, environment, timeout }) {
  const init = path.join(directory, 'init');
  const command = path.join(directory, 'command');
  await writeFile(command, [...assignments(environment, 'export '), script, '\n'].join(''));
  const variables = assignments({
    INIT: init,
    KERNEL_TREE: kernel.tree,
    CLONE: clone,
    MODULES: modules.join('\n'),
    COMMAND_FILE: command,
    END_MARK: endMark,
    WATCHDOG_SECONDS: Math.max(1, timeout - 10),
  });
  const source = `. ${quote(path.join(clone, 'scripts/vm/init.sh'))}\n`;
  await writeFile(init, ['#!/bin/bash\n', ...variables, source].join(''), { mode: 0o755 });
}

/** Why the guest cannot go on, or undefined while it can. */
function findFailure({ control, qemu, began, accelerator, timeout }) {
  const refusal = /^failed (.*)$/m.exec(control.text);
  if (refusal) return `the guest's init failed: ${refusal[1]}`;
  if (qemu.exitCode !== null || qemu.signalCode !== null) return 'the guest ended too early';
  const seconds = (Date.now() - began) / 1000;
  if (!control.text.includes('started\n') && seconds > bootSeconds[accelerator]) {
    return `the guest did not boot in ${bootSeconds[accelerator]} s`;
  }
  return seconds > timeout ? `the guest did not end in ${timeout} s` : undefined;
}

/** Boots once and waits for the end; `started` tells a bad boot from a bad command. */
async function bootOnce(options, onLine) {
  const { directory, cutOn } = options;
  const log = await open(path.join(directory, 'qemu.log'), 'w');
  const streams = {};
  const children = [];
  let qemu;
  let cut = false;
  const hear = (name, line) => {
    if (name === 'stdout' && cutOn !== undefined && line === cutOn) {
      cut = true;
      qemu.kill('SIGKILL');
    }
    onLine?.(name, line);
  };
  let onChange = () => {};
  const change = () =>
    new Promise((resolve) => {
      onChange = resolve;
    });
  try {
    for (const name of streamNames) {
      streams[name] = new GuestStream();
      await streams[name].listen(path.join(directory, `${name}.sock`), {
        onLine: name === 'control' ? undefined : (line) => hear(name, line),
        onChange: () => onChange(),
      });
    }
    const { control, stdout, stderr } = streams;
    children.push(await startVirtiofsd(directory, log));
    qemu = startQemu(options, log);
    children.push(qemu);

    const began = Date.now();
    let failure;
    let exited;
    while (failure === undefined) {
      exited = /^exited (\d+)$/m.exec(control.text);
      if (exited && stdout.ended && stderr.ended) break;
      failure = cut ? 'the power was cut' : findFailure({ ...options, control, qemu, began });
      await Promise.race([change(), qemu.ended, sleep(500)]);
    }
    return {
      started: control.text.includes('started\n'),
      status: failure === undefined ? Number(exited[1]) : null,
      failure,
      cut,
      stdout: stdout.content,
      stderr: stderr.content,
    };
  } finally {
    for (const child of children.reverse()) {
      child.kill('SIGKILL');
      await child.ended;
    }
    for (const stream of Object.values(streams)) stream.close();
    await log.close();
  }
}

/**
 * Boots a guest and runs one bash script in it, as root, in this clone's folder.
 *
 * @typedef {object} Disk a virtio disk, in the guest /dev/disk/by-id/virtio-NAME
 * @property {number} [size] bytes; makes the file, a scratch disk when `file` is not given
 * @property {string} [file] the raw file behind it
 * @property {string} [log] a new file for a log of its writes and flushes (write-log.js)
 * @property {number} [blockSize] 512 or 4096
 * @property {{iops: number, bytesPerSecond: number}} [throttle] what it does at most, reads and
 *   writes together, in whole numbers; for a disk without `log`
 * @property {boolean} [volatile] announces a write cache (default true)
 *
 * @typedef {object} Result
 * @property {number | null} status null when the command did not end by itself: see `failure`
 * @property {string} [failure]
 * @property {boolean} cut the power was cut because of `cutOn`
 * @property {string} stdout
 * @property {string} stderr
 * @property {string} console
 * @property {string[]} complaints lines of the console that no healthy kernel prints
 * @property {string} accelerator
 * @property {string} release of the kernel
 *
 * @param {object} options
 * @param {string} options.script bash source
 * @param {Record<string, Disk>} [options.disks] by name
 * @param {number} [options.cpus]
 * @param {number} [options.memory] MiB
 * @param {number} [options.icount] virtual time by instruction count, 2^icount ns each: CPU-bound
 *   figures become independent of the host's load; implies TCG
 * @param {string} [options.cpuModel] QEMU's -cpu
 * @param {string[]} [options.modules] kernel modules, each with its parameters
 * @param {Record<string, string>} [options.environment]
 * @param {number} [options.timeout] seconds, boot included
 * @param {string} [options.cutOn] a line of standard output on which QEMU is killed at once, as if
 *   the power failed: what QEMU had not completed is lost. Disks outlive it that have a `file`
 * @param {(stream: 'stdout' | 'stderr', line: string) => void} [options.onLine]
 * @returns {Promise<Result>}
 * @throws {Error} when the guest cannot be booted at all
 */
export async function runInGuest({ disks = {}, modules = [], onLine, ...given }) {
  const kernel = await prepareKernel();
  const options = { cpus: 2, memory: 2048, environment: {}, timeout: 600, kernel, ...given };
  options.image = kernel.image;
  options.modules = [...(Object.keys(disks).length > 0 ? ['virtio_blk'] : []), ...modules];
  const preferred = options.icount === undefined && kvmIsOpenable() ? 'kvm' : 'tcg';
  options.accelerator = process.env.BANDSTAND_VM_ACCEL ?? preferred;
  for (let attempt = 1; ; attempt++) {
    const directory = await makeDirectory();
    try {
      const made = await makeDisks(directory, Object.entries(disks));
      await writeInit(directory, options);
      const { started, ...result } = await bootOnce({ ...options, directory, disks: made }, onLine);
      const raw = await readFile(path.join(directory, 'console'), 'utf8').catch(() => '');
      const text = raw.replaceAll('\r', '');
      const { accelerator } = options;
      if (started) {
        const complaints = text.split('\n').filter((line) => complaint.test(line));
        return { ...result, console: text, complaints, accelerator, release: kernel.release };
      }
      if (accelerator === 'tcg' && attempt >= bootAttempts) {
        const log = await readFile(path.join(directory, 'qemu.log'), 'utf8');
        const tail = text.split('\n').slice(-40).join('\n');
        throw new Error(`cannot boot the guest: ${result.failure}\n${log}${tail}`);
      }
      // A /dev/kvm that opens and does not work is common inside other virtual machines.
      options.accelerator = 'tcg';
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}
