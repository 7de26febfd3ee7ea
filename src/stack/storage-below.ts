/**
 * StorageBelow: on which block devices a file or a directory lies, all the way down.
 *                                                                                 (control plane)
 * A server must not need its own export: a log on a file system on its device, or on a volume over
 * it, would have it wait for itself. So from the file system down each layer is followed: to the
 * disk of a partition, to what a mapped device or an array of the kernel is made of, to the file
 * behind a loop device. Everything comes from /sys and /proc; nothing is opened.
 */

import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { deviceKey, identifyDevice, readMounts } from './device-usage.ts';

/** Layers that are followed; there are no machines with more, but there are loops. */
const DEPTH_MAX = 16;
/** Device numbers of file systems without a block device of their own, such as btrfs. */
const ANONYMOUS = /^0:/;

/** Keys (`8:16`) of all of them, the nearest first; [] in memory, and where nothing is there. */
export function storageBelow(path: string, sys = '/sys/dev/block'): string[] {
  const key = keyOfFile(path);
  return key === null ? [] : devicesBelow(key, sys);
}

/** The same for a block device, which is the first. */
export function devicesBelow(key: string, sys = '/sys/dev/block'): string[] {
  const found = new Set<string>();
  follow(key, found, sys, DEPTH_MAX);
  return [...found];
}

function follow(key: string | null, found: Set<string>, sys: string, depth: number): void {
  if (key === null || found.has(key) || depth === 0) return;
  found.add(key);
  const folder = join(sys, key);
  follow(diskOf(folder), found, sys, depth - 1);
  for (const slave of entries(join(folder, 'slaves'))) {
    follow(text(join(folder, 'slaves', slave, 'dev')), found, sys, depth - 1);
  }
  const backing = text(join(folder, 'loop', 'backing_file'));
  if (backing !== null) follow(keyOfFile(backing), found, sys, depth - 1);
}

/** Of the disk, where `folder` is that of a partition. */
function diskOf(folder: string): string | null {
  if (text(join(folder, 'partition')) === null) return null;
  try {
    return text(join(realpathSync(folder), '..', 'dev'));
  } catch {
    return null;
  }
}

/** Of the file system that a file or directory is on. */
function keyOfFile(path: string): string | null {
  let key: string;
  try {
    key = deviceKey(statSync(path).dev);
  } catch {
    return null;
  }
  if (!ANONYMOUS.test(key)) return key;
  const source = readMounts().find(({ device }) => device === key)?.source ?? '';
  if (!source.startsWith('/dev/')) return null;
  try {
    return identifyDevice(source).key;
  } catch {
    return null;
  }
}

function text(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
