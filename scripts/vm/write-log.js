/**
 * What a disk with a volatile cache holds when the power has failed.
 *
 * Killing QEMU takes the guest's memory, but no write that QEMU has completed: the host has it. So
 * QEMU's filter blklogwrites keeps a log of all writes, flushes and discards, and here the disk is
 * made anew from what it was at the start of the boot: what a flush covers is there; of the writes
 * after the last one each is there or not, in any order, and the last is torn between blocks.
 *
 * The format is that of Linux' dm-log-writes (its documentation: device-mapper/log-writes.rst): a
 * superblock of one sector, then an entry of one sector for each operation, followed by its data.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, renameSync, writeSync } from 'node:fs';

const sectorBytes = 512;
const magic = 0x6a736677736872n;
const flagFlush = 1n;
const flagFua = 2n;
const flagDiscard = 4n;

/** Small and good enough to choose with; the same numbers for the same seed. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function readAt(fd, at, bytes) {
  const buffer = Buffer.alloc(bytes);
  readSync(fd, buffer, 0, bytes, at);
  return buffer;
}

/**
 * The operations of a log in order, data by position; null when it has a gap: QEMU was killed
 * between two writes to it. A log with no byte in it has none: its superblock comes with the first.
 */
export function readLog(fd) {
  if (fstatSync(fd).size === 0) return [];
  const head = readAt(fd, 0, sectorBytes);
  if (head.readBigUInt64LE(0) !== magic) throw new Error('a write log without its magic number');
  if (head.readUInt32LE(24) !== sectorBytes) throw new Error('a write log of other sectors');
  const count = Number(head.readBigUInt64LE(16));
  const entries = [];
  for (let at = sectorBytes, number = 0; number < count; number += 1) {
    const entry = readAt(fd, at, 32);
    const flags = entry.readBigUInt64LE(16);
    const bytes = Number(entry.readBigUInt64LE(8)) * sectorBytes;
    if (bytes === 0 && (flags & flagFlush) === 0n) return null;
    const hasData = (flags & flagDiscard) === 0n && bytes > 0;
    const to = Number(entry.readBigUInt64LE(0)) * sectorBytes;
    entries.push({ flags, to, bytes, from: hasData ? at + sectorBytes : -1 });
    at += sectorBytes + (hasData ? bytes : 0);
  }
  return entries;
}

/** `from` -1: zeroes. */
function apply(disk, log, { to, bytes, from }, count = bytes) {
  for (let done = 0; done < count; ) {
    const size = Math.min(count - done, 2 ** 20);
    const data = from === -1 ? Buffer.alloc(size) : readAt(log, from + done, size);
    writeSync(disk, data, 0, size, to + done);
    done += size;
  }
}

/** In place, by Fisher and Yates. */
function shuffle(list, random) {
  for (let left = list.length; left > 1; left -= 1) {
    const chosen = Math.floor(random() * left);
    [list[left - 1], list[chosen]] = [list[chosen], list[left - 1]];
  }
  return list;
}

/**
 * Makes the disk what it may be after the cut.
 *
 * @param {object} options
 * @param {string} options.log the log of the boot that has ended
 * @param {string} options.base the disk as it was when the boot began; it is used up
 * @param {string} options.file the disk
 * @param {number} options.blockBytes what is never torn
 * @param {number} options.seed
 * @returns {{writes: number, lost: number} | null} writes after the last flush, and how many of
 *   them are lost; null: the log has a gap, and the disk is left with all that was completed
 */
export function loseUnflushed({ log, base, file, blockBytes, seed }) {
  const random = generator(seed);
  const logFd = openSync(log, 'r');
  const diskFd = openSync(base, 'r+');
  try {
    const entries = readLog(logFd);
    if (entries === null) return null;
    let open = [];
    for (const entry of entries) {
      if ((entry.flags & flagFlush) !== 0n) {
        for (const one of open) apply(diskFd, logFd, one);
        open = [];
      }
      if (entry.bytes === 0) continue;
      if ((entry.flags & flagFua) !== 0n) apply(diskFd, logFd, entry);
      else open.push(entry);
    }
    const kept = shuffle(
      open.filter(() => random() < 0.5),
      random,
    );
    const torn = kept.pop();
    for (const entry of kept) apply(diskFd, logFd, entry);
    if (torn !== undefined) {
      const blocks = Math.floor(random() * (torn.bytes / blockBytes + 1));
      apply(diskFd, logFd, torn, blocks * blockBytes);
    }
    renameSync(base, file);
    return { writes: open.length, lost: open.length - kept.length };
  } finally {
    closeSync(diskFd);
    closeSync(logFd);
  }
}

/** A copy that takes no more room than the disk does. */
export function copyDisk(from, to) {
  execFileSync('cp', ['--sparse=always', '--reflink=auto', from, to]);
}
