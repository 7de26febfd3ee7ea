/**
 * Who uses a device: mounts, swap, holders, loop devices, exclusive opens.          (control plane)
 *
 * A device is asked for by its identity (major:minor, or device:inode of a regular file), never by
 * its path, so that symbolic links, hard links and bind mounts cannot hide a user. Partitions count
 * for their disk: a disk is in use when one of its partitions is.
 *
 * The answers come from /proc and /sys and from an exclusive open; none of them writes anything.
 */

import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { BandstandError } from '../block/errors.ts';

export interface DeviceIdentity {
  readonly path: string;
  /** With every symbolic link resolved. */
  readonly realPath: string;
  readonly kind: 'block' | 'file';
  /** `8:16` for a block device, `file:64769:1234` for a file: equal means the same storage. */
  readonly key: string;
  /** For a partition, the key of its disk. */
  readonly diskKey: string | null;
}

export interface Mount {
  readonly device: string;
  readonly target: string;
  readonly source: string;
  /** True when a copy of it in another namespace is unmounted with it. */
  readonly follows: boolean;
}

/** Throws BANDSTAND_DEVICE_MISSING, _PERMISSION or _INVALID. */
export function identifyDevice(path: string): DeviceIdentity {
  let realPath: string;
  let stat: ReturnType<typeof statSync>;
  try {
    realPath = realpathSync(path);
    stat = statSync(realPath);
  } catch (error) {
    throw accessError(path, error as NodeJS.ErrnoException);
  }
  if (stat.isFile()) {
    return { path, realPath, kind: 'file', key: `file:${stat.dev}:${stat.ino}`, diskKey: null };
  }
  if (stat.isBlockDevice()) {
    const key = `${major(stat.rdev)}:${minor(stat.rdev)}`;
    return { path, realPath, kind: 'block', key, diskKey: diskOf(key) };
  }
  const what = stat.isDirectory()
    ? 'a directory'
    : stat.isCharacterDevice()
      ? 'a character device'
      : 'neither a block device nor a regular file';
  throw new BandstandError('BANDSTAND_DEVICE_INVALID', {
    message: `cannot use ${path}: it is ${what}`,
    hint: 'name a block device or a regular file',
    details: { device: path },
  });
}

/** Bytes of the device or file; 0 when the kernel does not say. Nothing is opened. */
export function sizeOf(identity: DeviceIdentity): number {
  if (identity.kind === 'file') return statSync(identity.realPath).size;
  return Number(readText(`/sys/dev/block/${identity.key}/size`) ?? 0) * 512;
}

/** Keys of the block devices that hold it: itself or its file system's device, and their disk. */
export function storageKeys(identity: DeviceIdentity): string[] {
  const { dev } = statSync(identity.realPath);
  const key = identity.kind === 'block' ? identity.key : `${major(dev)}:${minor(dev)}`;
  const disk = diskOf(key);
  return disk === null ? [key] : [key, disk];
}

function accessError(path: string, error: NodeJS.ErrnoException): BandstandError {
  const missing = error.code === 'ENOENT' || error.code === 'ENOTDIR';
  if (missing) {
    return new BandstandError('BANDSTAND_DEVICE_MISSING', {
      message: `cannot use ${path}: there is no such device or file`,
      hint: 'look for it with lsblk',
      details: { device: path },
    });
  }
  const isRefused = error.code === 'EACCES' || error.code === 'EPERM';
  const [name, text] = getSystemErrorMap().get(error.errno ?? 0) ?? [error.code, error.message];
  return new BandstandError(
    isRefused ? 'BANDSTAND_DEVICE_PERMISSION' : 'BANDSTAND_DEVICE_INVALID',
    {
      message: `cannot use ${path}: ${text} (${name})`,
      hint: isRefused ? 'run it with sudo' : 'name a block device or a regular file',
      details: { device: path, errno: error.code ?? null },
      cause: error,
    },
  );
}

/** `8:16`: how /sys and mountinfo name a device number. */
export function deviceKey(device: number): string {
  return `${major(device)}:${minor(device)}`;
}

/** The kernel's split of dev_t as user space sees it. */
function major(device: number): number {
  return Math.floor(device / 256) % 4096;
}

function minor(device: number): number {
  return (device % 256) + Math.floor(device / 2 ** 20) * 256;
}

function diskOf(key: string): string | null {
  const folder = `/sys/dev/block/${key}`;
  if (readText(join(folder, 'partition')) === null) return null;
  try {
    return readText(join(realpathSync(folder), '..', 'dev'));
  } catch {
    return null;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Mounts of this process's namespace; `\040`-style escapes of the kernel are decoded. */
export function readMounts(text: string | null = readText('/proc/self/mountinfo')): Mount[] {
  if (text === null) return [];
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const fields = before!.split(' ');
    if (after === undefined || fields.length < 5) return [];
    return [
      {
        device: fields[2]!,
        target: unescapeOctal(fields[4]!),
        source: unescapeOctal(after.split(' ')[1] ?? ''),
        follows: fields.slice(6).some((field) => /^(shared|master):/.test(field)),
      },
    ];
  });
}

/** A mount of a disk that a namespace of its own would keep when it is unmounted outside. */
export function stuckMount(mounts: readonly Mount[] = readMounts()): Mount | null {
  return mounts.find(({ device, follows }) => !follows && !device.startsWith('0:')) ?? null;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** How the device is used, for messages (`mounted at /srv`), or null when nothing is known. */
export function usageOf(identity: DeviceIdentity): string | null {
  return identity.kind === 'block' ? blockUsage(identity) : fileUsage(identity);
}

function blockUsage(identity: DeviceIdentity): string | null {
  const own = nodeUsage(identity.key, identity.realPath);
  if (own !== null) return own;
  for (const partition of partitionsOf(identity.key)) {
    const usage = nodeUsage(partition.key, `/dev/${partition.name}`);
    if (usage !== null) return `its partition ${partition.name} is ${usage}`;
  }
  return null;
}

function nodeUsage(key: string, realPath: string): string | null {
  const mount = readMounts().find((one) => one.device === key || one.source === realPath);
  if (mount !== undefined) return `mounted at ${mount.target}`;
  if (swapPaths().includes(realPath)) return 'used as swap';
  const holder = list(`/sys/dev/block/${key}/holders`)[0];
  if (holder !== undefined) return `held by ${holderName(holder)}`;
  return null;
}

/** `dm-3 (vg-data)` where the holder has a name of its own. */
function holderName(holder: string): string {
  const name = readText(`/sys/block/${holder}/dm/name`);
  return name === null ? holder : `${holder} (${name})`;
}

/** Partitions of a disk that the kernel knows. */
export function partitionsOf(key: string): { name: string; key: string }[] {
  const folder = `/sys/dev/block/${key}`;
  return list(folder).flatMap((name) => {
    if (readText(join(folder, name, 'partition')) === null) return [];
    const partition = readText(join(folder, name, 'dev'));
    return partition === null ? [] : [{ name, key: partition }];
  });
}

function swapPaths(): string[] {
  const lines = (readText('/proc/swaps') ?? '').split('\n').slice(1);
  return lines.map((line) => unescapeOctal(line.split(/\s/)[0] ?? ''));
}

function fileUsage(identity: DeviceIdentity): string | null {
  if (swapPaths().includes(identity.realPath)) return 'used as swap';
  for (const loop of list('/sys/block').filter((name) => name.startsWith('loop'))) {
    const backing = readText(`/sys/block/${loop}/loop/backing_file`);
    if (backing === identity.realPath) return `the backing file of ${loop}`;
  }
  return null;
}

/** Processes that have the device open, as `name (pid)`; only root sees those of others. */
export function openersOf(realPath: string, ignorePids: readonly number[] = []): string[] {
  const found: string[] = [];
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    if (ignorePids.includes(Number(pid))) continue;
    const opens = list(`/proc/${pid}/fd`).some(
      (fd) => linkTarget(`/proc/${pid}/fd/${fd}`) === realPath,
    );
    if (opens) found.push(`${readText(`/proc/${pid}/comm`) ?? 'process'} (${pid})`);
  }
  return found;
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** The path that survives a reboot: a by-id link to the same device, or the real path. */
export function stablePath(identity: DeviceIdentity): string {
  if (identity.kind === 'file') return identity.realPath;
  const links = list('/dev/disk/by-id').sort(byPreference);
  for (const link of links) {
    const path = join('/dev/disk/by-id', link);
    try {
      if (realpathSync(path) === identity.realPath) return path;
    } catch {
      // A link to a device that has just gone.
    }
  }
  return identity.realPath;
}

/** Names with a serial number before bare world-wide numbers, which people cannot read. */
function byPreference(a: string, b: string): number {
  const rank = (name: string): number =>
    /^(wwn|nvme-eui|nvme-nvme|dm-uuid|lvm)/.test(name) ? 1 : 0;
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/**
 * Whole disks and partitions on which a member may be found: no RAM disks, no loop devices without
 * a backing file, no devices that one of our own servers exports.
 */
export function scanBlockDevices(): string[] {
  const paths: string[] = [];
  for (const name of list('/sys/block').sort()) {
    if (/^(ram|zram|ublkb|nbd|fd|sr)\d/.test(name)) continue;
    if (name.startsWith('loop') && readText(`/sys/block/${name}/loop/backing_file`) === null)
      continue;
    if (readText(`/sys/block/${name}/size`) === '0') continue;
    paths.push(`/dev/${basename(name)}`);
    for (const child of list(`/sys/block/${name}`).sort()) {
      if (readText(`/sys/block/${name}/${child}/partition`) !== null) paths.push(`/dev/${child}`);
    }
  }
  return paths;
}
