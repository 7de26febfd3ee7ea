/**
 * Runs one command in a throw-away Linux guest: QEMU, a Debian kernel booted directly, no image and no initramfs.
 *
 * The guest's root is this machine's `/`, read-only over virtiofs, with a tmpfs overlay on top: whatever is installed
 * here runs there unchanged (Node, fio, this clone with its dist/ and node_modules/), and whatever the guest writes is
 * gone afterwards. Standard output, standard error and the exit status come back over virtio-serial ports; the serial
 * console is kept apart, for the kernel's own words. Nothing here needs KVM; it is used where it works.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clone, prepareKernel } from './kernel.js';

const endMark = '\u0001end of stream\u0001';
const bootSeconds = 120;
const kvmBootSeconds = 15;
const bootAttempts = 3;

/** What a healthy kernel never says. Expected I/O errors are not in it: tests cause those on purpose. */
const complaint =
  /BUG:|Oops|WARNING: (?:CPU|possible)|blocked for more than|general protection|Kernel panic|soft lockup|rcu: INFO: rcu_\w+ (?:self-)?detected|unable to handle|KASAN|refcount_t:/;

const searchPath = `${process.env.PATH}:/usr/sbin:/sbin:/usr/lib/qemu:/usr/libexec`.split(':');

/** The full path of a program, or undefined. */
export function findProgram(name) {
  return searchPath.map((directory) => path.join(directory, name)).find((file) => existsSync(file));
}

/** One sentence for each thing that this machine lacks to run a guest; empty when it can. */
export function missingForGuest() {
  const needed = [
    ['qemu-system-x86_64', 'qemu-system-x86'],
    ['virtiofsd', 'qemu-system-common on Debian 12, virtiofsd on Debian 13'],
    ['apt-get', 'apt'],
    ['dpkg-deb', 'dpkg'],
    ['depmod', 'kmod'],
    ['setpriv', 'util-linux'],
  ];
  const missing = needed
    .filter(([program]) => findProgram(program) === undefined)
    .map(([program, packages]) => `${program} is not installed (package ${packages})`);
  if (process.arch !== 'x64')
    missing.push(`the guest is x86-64 only, this machine is ${process.arch}`);
  if (process.getuid() !== 0) missing.push('sharing / with the guest needs root');
  return missing;
}

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

/** Starts a program that the kernel kills when this process ends, however it ends. */
function startBound(program, args, log) {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
    stdio: ['ignore', log.fd, log.fd],
  });
  child.ended = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('exit', resolve);
  });
  return child;
}

function kvmIsOpenable() {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts virtiofsd for `/` and waits for its socket. */
async function shareRoot(directory, log) {
  const program = findProgram('virtiofsd');
  const socket = path.join(directory, 'root.sock');
  const help = execFileSync(program, ['--help'], {
    encoding: 'utf8',
    stdio: 'pipe',
    timeout: 10_000,
  });
  // Debian 12 has QEMU's own virtiofsd, Debian 13 the one written in Rust: same work, other options.
  const args = help.includes('--shared-dir')
    ? ['--shared-dir=/', '--sandbox=none', '--cache=always']
    : ['-o', 'source=/,cache=always,sandbox=chroot,no_posix_lock,no_flock,log_level=err'];
  const child = startBound(program, [`--socket-path=${socket}`, ...args], log);
  for (let waited = 0; !existsSync(socket); waited += 20) {
    if (child.exitCode !== null || waited > 10_000) throw new Error('virtiofsd did not start');
    await sleep(20);
  }
  return child;
}

/** A Unix socket server that hands over the first connection's data as text. */
async function listen(file, onText) {
  const server = net.createServer((socket) => {
    socket.setEncoding('utf8');
    socket.on('data', onText);
    socket.on('error', () => {});
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(file, resolve);
  });
  return server;
}

function qemuArguments({ accelerator, cpus, cpuModel, directory, disks, icount, image, memory }) {
  const tcg = accelerator === 'tcg';
  const kernelOptions = [
    'rootfstype=virtiofs root=hostroot ro',
    `init=${path.join(directory, 'init')}`,
    'console=ttyS0 quiet loglevel=5 panic=-1',
    'mitigations=off nokaslr audit=0 random.trust_cpu=on no_timer_check tsc=reliable cryptomgr.notests',
    'rcupdate.rcu_expedited=1 lpj=10000000 i8042.noaux i8042.nokbd 8250.nr_uarts=1',
    // QEMU before 8.1 can run a stale int3 when one virtual CPU patches code that another one translates at that
    // moment; nearly all patching happens during boot, so the guest boots on one CPU and init starts the others.
    tcg && cpus > 1 ? 'maxcpus=1' : '',
  ];
  const args = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'];
  args.push('-machine', 'q35,memory-backend=memory,hpet=off', '-smp', `${cpus}`, '-m', `${memory}`);
  args.push('-object', `memory-backend-memfd,id=memory,size=${memory}M,share=on`);
  args.push('-accel', tcg ? `tcg,thread=${icount === undefined ? 'multi' : 'single'}` : 'kvm');
  args.push('-cpu', cpuModel ?? (tcg ? 'max' : 'host'));
  if (icount !== undefined) args.push('-icount', `shift=${icount},align=off,sleep=on`);
  args.push('-kernel', image, '-append', kernelOptions.filter(Boolean).join(' '));
  args.push('-chardev', `file,id=console,path=${directory}/console`, '-serial', 'chardev:console');
  args.push('-chardev', `socket,id=root,path=${directory}/root.sock`);
  args.push('-device', 'vhost-user-fs-pci,chardev=root,tag=hostroot,queue-size=1024');
  args.push('-device', 'virtio-serial-pci');
  for (const name of ['control', 'stdout', 'stderr']) {
    args.push('-chardev', `socket,id=${name},path=${directory}/${name}.sock`);
    args.push('-device', `virtserialport,chardev=${name},name=${name}`);
  }
  for (const { name, file, blockSize = 512, volatile = true } of disks) {
    args.push('-drive', `if=none,id=${name},file=${file},format=raw,cache=writeback,discard=unmap`);
    args.push(
      '-device',
      `virtio-blk-pci,drive=${name},serial=${name},write-cache=${volatile ? 'on' : 'off'},` +
        `logical_block_size=${blockSize},physical_block_size=${blockSize}`,
    );
  }
  return args;
}

/** Makes the sparse files behind the disks that bring none of their own. */
async function makeDisks(directory, disks) {
  return Promise.all(
    Object.entries(disks).map(async ([name, disk]) => {
      const { size, file = path.join(directory, `${name}.disk`), ...rest } = disk;
      if (size !== undefined) {
        const handle = await open(file, 'a');
        await handle.truncate(size);
        await handle.close();
      }
      return { name, file, ...rest };
    }),
  );
}

async function writeInit(directory, { kernel, modules, script, environment, timeout }) {
  const exports = Object.entries(environment).map(
    ([name, value]) => `export ${name}=${quote(value)}`,
  );
  await writeFile(path.join(directory, 'command'), [...exports, script, ''].join('\n'));
  const variables = {
    INIT: path.join(directory, 'init'),
    KERNEL_TREE: kernel.tree,
    CLONE: clone,
    MODULES: modules.join('\n'),
    COMMAND_FILE: path.join(directory, 'command'),
    END_MARK: endMark,
    WATCHDOG_SECONDS: Math.max(1, timeout - 10),
  };
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${quote(value)}`);
  const source = `. ${quote(path.join(clone, 'scripts/vm/init.sh'))}`;
  await writeFile(path.join(directory, 'init'), `#!/bin/bash\n${lines.join('\n')}\n${source}\n`, {
    mode: 0o755,
  });
}

/** Boots once and waits for the end. `started` in the answer tells a bad boot from a bad command. */
async function bootOnce(directory, options, onOutput) {
  const log = await open(path.join(directory, 'qemu.log'), 'w');
  const streams = { stdout: '', stderr: '', control: '' };
  const servers = [];
  const children = [];
  let notice;
  const changed = () =>
    new Promise((resolve) => {
      notice = resolve;
    });
  try {
    for (const name of Object.keys(streams)) {
      const file = path.join(directory, `${name}.sock`);
      servers.push(
        await listen(file, (text) => {
          streams[name] += text;
          if (name !== 'control') onOutput?.(name, text.replaceAll(endMark, ''));
          notice?.();
        }),
      );
    }
    children.push(await shareRoot(directory, log));
    const qemu = startBound(
      findProgram('qemu-system-x86_64'),
      qemuArguments({ ...options, directory }),
      log,
    );
    children.push(qemu);

    const began = Date.now();
    const bootLimit = options.accelerator === 'kvm' ? kvmBootSeconds : bootSeconds;
    let failure;
    for (;;) {
      const started = streams.control.includes('started\n');
      const exited = /^exited (\d+)$/m.exec(streams.control);
      const complete = streams.stdout.endsWith(endMark) && streams.stderr.endsWith(endMark);
      if (exited && complete) break;
      const seconds = (Date.now() - began) / 1000;
      if (/^failed .*$/m.test(streams.control))
        failure = `guest ${/^failed .*$/m.exec(streams.control)[0]}`;
      else if (qemu.exitCode !== null || qemu.signalCode !== null)
        failure = 'the guest ended before its command';
      else if (!started && seconds > bootLimit)
        failure = `the guest did not boot in ${bootLimit} s`;
      else if (seconds > options.timeout)
        failure = `the guest was stopped after ${options.timeout} s`;
      if (failure !== undefined) break;
      await Promise.race([changed(), qemu.ended, sleep(500)]);
    }
    return {
      started: streams.control.includes('started\n'),
      failure,
      status: failure === undefined ? Number(/^exited (\d+)$/m.exec(streams.control)[1]) : null,
      stdout: streams.stdout.replaceAll(endMark, ''),
      stderr: streams.stderr.replaceAll(endMark, ''),
    };
  } finally {
    for (const child of children.reverse()) {
      child.kill('SIGKILL');
      await child.ended;
    }
    for (const server of servers) server.close();
    await log.close();
  }
}

/**
 * Boots a guest and runs one bash script in it, as root, in this clone's folder.
 *
 * @param {object} options
 * @param {string} options.script bash source
 * @param {Record<string, {size?: number, file?: string, blockSize?: number, volatile?: boolean}>} [options.disks] virtio
 *   disks by name, found in the guest as /dev/disk/by-id/virtio-NAME; a size in bytes makes a scratch disk, `volatile`
 *   (default) announces a write cache
 * @param {number} [options.cpus]
 * @param {number} [options.memory] MiB
 * @param {number} [options.icount] virtual time by instruction count, 2^icount ns each; makes CPU-bound figures
 *   independent of the host's load, implies TCG
 * @param {string} [options.cpuModel] QEMU's -cpu
 * @param {string[]} [options.modules] kernel modules with parameters, one string each
 * @param {Record<string, string>} [options.environment]
 * @param {number} [options.timeout] seconds, boot included
 * @param {(stream: 'stdout' | 'stderr', text: string) => void} [options.onOutput] called as output arrives
 * @returns {Promise<{status: number | null, stdout: string, stderr: string, console: string, complaints: string[],
 *   failure?: string, accelerator: string, release: string}>} `status` is null and `failure` says why when the command
 *   did not end by itself; `complaints` are the console's lines that no healthy kernel prints
 * @throws {Error} when the guest cannot be booted at all
 */
export async function runInGuest({ onOutput, ...given }) {
  const kernel = await prepareKernel();
  const options = {
    cpus: 2,
    memory: 2048,
    modules: [],
    environment: {},
    timeout: 600,
    image: kernel.image,
    ...given,
  };
  let accelerator = options.icount === undefined && kvmIsOpenable() ? 'kvm' : 'tcg';
  accelerator = process.env.BANDSTAND_VM_ACCEL ?? accelerator;
  for (let attempt = 1; ; attempt++) {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'bandstand-vm-'));
    try {
      const disks = await makeDisks(directory, options.disks ?? {});
      const modules = [...(disks.length > 0 ? ['virtio_blk'] : []), ...options.modules];
      await writeInit(directory, { ...options, kernel, modules });
      const result = await bootOnce(directory, { ...options, accelerator, disks }, onOutput);
      const console = await readFile(path.join(directory, 'console'), 'utf8').catch(() => '');
      if (result.started) {
        const complaints = console.split('\n').filter((line) => complaint.test(line));
        return { ...result, console, complaints, accelerator, release: kernel.release };
      }
      if (accelerator === 'tcg' && attempt >= bootAttempts) {
        const qemuLog = readFileSync(path.join(directory, 'qemu.log'), 'utf8');
        const tail = console.split('\n').slice(-40).join('\n');
        throw new Error(`cannot boot the guest: ${result.failure}\n${qemuLog}${tail}`);
      }
      // A /dev/kvm that opens and does not work is common inside other virtual machines.
      accelerator = 'tcg';
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}
