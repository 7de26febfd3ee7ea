/**
 * Tests that need something which a machine may lack: `requires('fio', 'root')('title', …)`.
 *
 * AVA 7 cannot skip at run time, so this returns `test` or `test.skip` with the reason in the
 * title: what could not run is counted and says why, and is never silently passed. Names are
 * programs on the PATH, except the ones in FEATURES.
 */

import { spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  statfsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ImplementationFn } from 'ava';

/** tmpfs and ramfs, as statfs(2) knows them. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

/** Name → null when the machine has it, otherwise the reason for the title. */
const FEATURES: Readonly<Record<string, () => string | null>> = {
  root: () => (process.getuid?.() === 0 ? null : 'needs root'),
  CAP_SYS_RESOURCE: () => (hasSysResource() ? null : 'needs CAP_SYS_RESOURCE'),
  ublk: () => (canOpen('/dev/ublk-control') ? null : 'needs ublk (/dev/ublk-control)'),
  'loop devices': () => (canOpen('/dev/loop-control') ? null : 'needs loop devices'),
  '/dev/shm': () => (canWrite('/dev/shm') ? null : 'needs a tmpfs at /dev/shm'),
  'a disk for temporary files': () =>
    IN_MEMORY.has(statfsSync(tmpdir()).type) ? 'needs a temporary folder on a disk' : null,
  'fio with nbd': () => (fioHasNbd() ? null : 'needs fio with its nbd engine'),
  'systemd in namespaces': () => (canBootSystemd() ? null : 'needs systemd, and root to boot it'),
  kvm: () => (canOpen('/dev/kvm') ? null : 'needs KVM (/dev/kvm)'),
};

/** Bit 24 of the effective capabilities. */
function hasSysResource(): boolean {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> 24n) & 1n) === 1n;
}

function canOpen(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDWR));
    return true;
  } catch {
    return false;
  }
}

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function canBootSystemd(): boolean {
  if (!existsSync('/lib/systemd/systemd')) return false;
  const mount = 'mount -t tmpfs tmpfs /mnt && mkdir /mnt/c && mount -t cgroup2 cgroup2 /mnt/c';
  const words = ['-pfmC', '--mount-proc', '--propagation', 'private', '/bin/sh', '-c', mount];
  return spawnSync('unshare', words, { timeout: 10_000 }).status === 0;
}

function fioHasNbd(): boolean {
  if (!hasProgram('fio')) return false;
  const help = spawnSync('fio', ['--enghelp'], { encoding: 'utf8', timeout: 10_000 });
  return /^\s*nbd$/m.test(help.stdout);
}

function hasProgram(name: string): boolean {
  // Administration programs are often outside the PATH of a user.
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.some((folder) => folder !== '' && existsSync(path.join(folder, name)));
}

/** Why a test that needs `names` cannot run here, or null when it can. */
export function missing(...names: readonly string[]): string | null {
  for (const name of names) {
    const feature = FEATURES[name];
    const reason = feature === undefined ? (hasProgram(name) ? null : `needs ${name}`) : feature();
    if (reason !== null) return reason;
  }
  return null;
}

type Register = (title: string, implementation: ImplementationFn<[]>) => void;

/** `test`, or `test.skip` with the reason in the title. */
export function requires(...names: readonly string[]): Register {
  const reason = missing(...names);
  if (reason === null) return (title, implementation) => test(title, implementation);
  return (title, implementation) => test.skip(`${title} (skipped: ${reason})`, implementation);
}
