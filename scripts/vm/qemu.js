/**
 * The programs behind a guest: which ones it needs, and the command lines of QEMU and virtiofsd.
 *
 * The machine is a q35 with virtio devices only: a vhost-user file system for the root, a serial
 * device with one port per stream, and a block device per disk. The kernel's console is a plain
 * serial port written to a file.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The virtio-serial ports, and the name of each one's socket. */
export const streamNames = ['control', 'stdout', 'stderr'];

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
  if (process.arch !== 'x64') missing.push(`the guest is x86-64, this machine is ${process.arch}`);
  if (process.getuid() !== 0)
    missing.push('sharing the root file system with the guest needs root');
  return missing;
}

export function kvmIsOpenable() {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

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

/** Shares `/` on `directory`/root.sock; resolves when the socket is there. */
export async function startVirtiofsd(directory, log) {
  const program = findProgram('virtiofsd');
  const socket = path.join(directory, 'root.sock');
  const help = execFileSync(program, ['--help'], { encoding: 'utf8', timeout: 10_000 });
  // Debian 12 has QEMU's own virtiofsd, Debian 13 the one written in Rust: same work, other words.
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

function kernelOptions({ accelerator, cpus, directory }) {
  const options = [
    'rootfstype=virtiofs root=hostroot ro',
    `init=${path.join(directory, 'init')}`,
    'console=ttyS0 quiet loglevel=5 panic=-1',
    'mitigations=off nokaslr audit=0 random.trust_cpu=on cryptomgr.notests',
    // What a virtual machine would only waste seconds to find out.
    'no_timer_check tsc=reliable lpj=10000000 rcupdate.rcu_expedited=1',
    'i8042.noaux i8042.nokbd 8250.nr_uarts=1',
  ];
  // QEMU before 8.1 can run a stale int3 when one virtual CPU patches code that another one
  // translates at that moment; nearly all patching happens during boot, so the guest boots on one
  // CPU and init starts the others.
  if (accelerator === 'tcg' && cpus > 1) options.push('maxcpus=1');
  return options.join(' ');
}

/**
 * The file behind a disk, with a log of what is done to it where that is asked for. The host syncs
 * nothing: its page cache outlives QEMU, and nobody looks at the disks after the host has failed.
 */
function backendArguments({ name, file, log, throttle }) {
  if (log === undefined) {
    const drive = [`if=none,id=${name},file=${file},format=raw,cache=unsafe,discard=unmap`];
    if (throttle !== undefined) {
      const { iops, bytesPerSecond } = throttle;
      drive.push(`throttling.iops-total=${iops},throttling.bps-total=${bytesPerSecond}`);
    }
    return ['-drive', drive.join(',')];
  }
  const logged = `driver=blklogwrites,node-name=${name},file=${name}-file,log=${name}-log`;
  const opened = 'driver=file,cache.no-flush=on';
  return [
    ['-blockdev', `${opened},node-name=${name}-file,filename=${file},discard=unmap`],
    ['-blockdev', `${opened},node-name=${name}-log,filename=${log}`],
    ['-blockdev', `${logged},log-sector-size=512,log-super-update-interval=1,discard=unmap`],
  ].flat();
}

/** A throttled disk counts what the guest sends, not what QEMU would make of neighbours. */
function diskArguments({ blockSize = 512, volatile = true, ...disk }) {
  const { name } = disk;
  const properties = [
    `virtio-blk-pci,drive=${name},serial=${name},write-cache=${volatile ? 'on' : 'off'}`,
    `logical_block_size=${blockSize},physical_block_size=${blockSize}`,
    `request-merging=${disk.throttle === undefined ? 'on' : 'off'}`,
  ];
  return [...backendArguments(disk), '-device', properties.join(',')];
}

function qemuArguments(options) {
  const { accelerator, cpus, cpuModel, directory, disks, icount, image, memory } = options;
  const tcg = accelerator === 'tcg';
  const counted = icount !== undefined;
  const args = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'];
  args.push('-machine', 'q35,memory-backend=memory,hpet=off');
  args.push('-object', `memory-backend-memfd,id=memory,size=${memory}M,share=on`);
  args.push('-m', `${memory}`, '-smp', `${cpus}`, '-cpu', cpuModel ?? (tcg ? 'max' : 'host'));
  args.push('-accel', tcg ? `tcg,thread=${counted ? 'single' : 'multi'}` : 'kvm');
  if (counted) args.push('-icount', `shift=${icount},align=off,sleep=on`);
  args.push('-kernel', image, '-append', kernelOptions(options));
  args.push('-chardev', `file,id=console,path=${directory}/console`, '-serial', 'chardev:console');
  args.push('-chardev', `socket,id=root,path=${directory}/root.sock`);
  args.push('-device', 'vhost-user-fs-pci,chardev=root,tag=hostroot,queue-size=1024');
  args.push('-device', 'virtio-serial-pci');
  for (const name of streamNames) {
    args.push('-chardev', `socket,id=${name},path=${directory}/${name}.sock`);
    args.push('-device', `virtserialport,chardev=${name},name=${name}`);
  }
  return [...args, ...disks.flatMap(diskArguments)];
}

/** Starts QEMU; virtiofsd and a server on each stream's socket have to be there. */
export function startQemu(options, log) {
  return startBound(findProgram('qemu-system-x86_64'), qemuArguments(options), log);
}
