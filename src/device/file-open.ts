/**
 * Opens a regular file or block device for FileDevice.                              (control plane)
 *
 * What is decided here, once, so that the data path need not ask
 *   - exclusive use: O_EXCL on a block device (refused while it is mounted or claimed), an
 *     exclusive flock on a file; a read-only device takes neither;
 *   - the block size: a block device's logical one; for a file 4096 when its size is a multiple,
 *     else 512;
 *   - direct or buffered: O_DIRECT, proved by reading one block. A file system that refuses it (in
 *     open, or at the first read) gets the page cache: a completed write may then be lost until
 *     a flush (fdatasync) or with FUA is not (RWF_DSYNC), as with any volatile cache;
 *   - how to trim and to write zeroes: only what a harmless probe, or the device's own limits, show
 *     to work is offered.
 */

import { constants } from 'node:fs';
import {
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../block/block-device.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import {
  EACCES,
  EAGAIN,
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENXIO,
  EPERM,
  EROFS,
  statusName,
  statusText,
} from '../block/status.ts';
import type { NativeDeviceInfo } from '../native/addon.ts';
import type { Ring, RingHandler } from '../reactor/ring.ts';

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;
export const MODE_PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
export const MODE_ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
export const MODE_ALLOCATE = FALLOC_FL_KEEP_SIZE;

/** BLKDISCARD through the ring: the content is undefined afterwards. */
export const METHOD_DISCARD = 0;
/** Frees the range, which then reads as zeroes. */
export const METHOD_PUNCH = 1;
/** Zeroes the range and keeps it allocated. */
export const METHOD_ZERO = 2;
/** The same in two steps, for file systems without the one above. */
export const METHOD_PUNCH_ALLOCATE = 3;
export const METHOD_NONE = 4;

const REQUEST_BYTES_MAX = 32 * 2 ** 20;
const ENOMEDIUM = 123;

export interface FileDeviceOptions {
  /** Opens without exclusive use and refuses writes. */
  readonly readOnly?: boolean;
  /** 512 or 4096; not below what the device itself needs. */
  readonly blockBytes?: number;
  /** False: go through the page cache from the start. */
  readonly direct?: boolean;
  /** False: use the ring also for a file in memory. */
  readonly atOnce?: boolean;
  /** Operations in flight in the kernel; more queue. */
  readonly depth?: number;
  /** Microseconds after which the observer is asked whether to go on without it; 0 = never. */
  readonly deadlineUs?: number;
}

export interface OpenedFile {
  readonly fd: number;
  readonly slot: number;
  readonly kind: 'block' | 'file';
  readonly direct: boolean;
  /** Its file system keeps it in memory, so that it answers at once. */
  readonly inMemory: boolean;
  readonly geometry: Geometry;
  /** METHOD_* for OP_TRIM, OP_WRITE_ZEROES, and OP_WRITE_ZEROES with FLAG_NOUNMAP. */
  readonly trimMethod: number;
  readonly zeroMethod: number;
  readonly zeroKeepMethod: number;
}

/** Throws BandstandError; then nothing is left open. */
export async function openFile(
  ring: Ring,
  path: string,
  options: FileDeviceOptions,
): Promise<OpenedFile> {
  const { kind } = look(ring, path);
  if (options.direct !== false) {
    const opened = await attempt(ring, path, kind, options, true);
    if (opened !== null) return opened;
  }
  const buffered = await attempt(ring, path, kind, options, false);
  if (buffered !== null) return buffered;
  throw openError(path, EINVAL);
}

/** Whether it is a device or a file, found without claiming it. */
function look(ring: Ring, path: string): NativeDeviceInfo {
  const fd = ring.native.fileOpen(path, constants.O_RDONLY | constants.O_NONBLOCK, 0);
  if (fd < 0) throw openError(path, -fd);
  try {
    return infoOf(ring, path, fd);
  } finally {
    ring.native.fileClose(fd);
  }
}

function infoOf(ring: Ring, path: string, fd: number): NativeDeviceInfo {
  try {
    return ring.native.deviceInfo(fd);
  } catch (error) {
    throw new BandstandError('BANDSTAND_DEVICE_INVALID', {
      message: `cannot use ${path}: it is neither a block device nor a regular file`,
      hint: 'give the path of a block device or of a regular file',
      details: { device: path },
      cause: error,
    });
  }
}

/** Null when the file system refuses O_DIRECT. */
async function attempt(
  ring: Ring,
  path: string,
  kind: 'block' | 'file',
  options: FileDeviceOptions,
  direct: boolean,
): Promise<OpenedFile | null> {
  const readOnly = options.readOnly ?? false;
  let flags = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  if (direct) flags |= constants.O_DIRECT;
  if (kind === 'block' && !readOnly) flags |= constants.O_EXCL;
  const fd = ring.native.fileOpen(path, flags, 0);
  if (fd === -EINVAL && direct) return null;
  if (fd < 0) throw openError(path, -fd);
  let slot = -1;
  let opened: OpenedFile | null = null;
  try {
    const info = infoOf(ring, path, fd);
    if (info.kind !== kind) throw openError(path, ENXIO);
    if (kind === 'file' && !readOnly) lock(ring, path, fd);
    refuseUnsuitable(path, info, readOnly);
    const blockBytes = chooseBlockBytes(path, info, options.blockBytes, direct);
    slot = ring.registerFile(fd);
    if (direct && !(await readsDirectly(ring, slot, blockBytes, info.sizeBytes))) return null;
    const methods = readOnly ? NO_METHODS : await findMethods(ring, slot, info);
    const geometry = geometryOf(info, blockBytes, { readOnly, direct }, methods);
    const { inMemory } = info;
    opened = { fd, slot, kind, direct, inMemory, geometry, ...methods };
    return opened;
  } finally {
    if (opened === null) {
      if (slot >= 0) ring.unregisterFile(slot);
      ring.native.fileClose(fd);
    }
  }
}

function lock(ring: Ring, path: string, fd: number): void {
  const result = ring.native.fileLock(fd, true);
  if (result === -EAGAIN) throw openError(path, EBUSY);
  if (result < 0) throw openError(path, -result);
}

function refuseUnsuitable(path: string, info: NativeDeviceInfo, readOnly: boolean): void {
  if (info.readOnly && info.kind === 'block' && !readOnly) throw openError(path, EROFS);
  if (info.zoned === 'host-managed' && !readOnly) {
    throw new BandstandError('BANDSTAND_DEVICE_INVALID', {
      message: `cannot use ${path}: it is a host-managed zoned device, which cannot be written at random`,
      hint: 'use a conventional device',
      details: { device: path },
    });
  }
}

function chooseBlockBytes(
  path: string,
  info: NativeDeviceInfo,
  wanted: number | undefined,
  direct: boolean,
): number {
  const least = info.kind === 'block' && direct ? info.logicalBlockBytes : 512;
  const natural = info.kind === 'block' ? least : info.sizeBytes % 4096 === 0 ? 4096 : 512;
  const blockBytes = wanted ?? natural;
  if ((blockBytes !== 512 && blockBytes !== 4096) || blockBytes < least) {
    throw new BandstandError('BANDSTAND_DEVICE_INVALID', {
      message: `cannot use ${path} with blocks of ${blockBytes} bytes: its own are ${least} bytes, and 512 and 4096 are supported`,
      hint: least <= 4096 ? `use blocks of 4096 bytes` : 'use another device',
      details: { device: path, block_bytes: blockBytes, logical_block_bytes: least },
    });
  }
  if (info.sizeBytes < blockBytes) {
    throw new BandstandError('BANDSTAND_DEVICE_TOO_SMALL', {
      message: `cannot use ${path}: it has ${info.sizeBytes} bytes, less than one block of ${blockBytes}`,
      hint: 'use a larger device, or give the file a size (truncate -s)',
      details: { device: path, size_bytes: info.sizeBytes },
    });
  }
  return blockBytes;
}

/** Reads the last block by O_DIRECT into a buffer that is aligned to a block and no better. */
async function readsDirectly(
  ring: Ring,
  slot: number,
  blockBytes: number,
  sizeBytes: number,
): Promise<boolean> {
  const at = ring.arena.allocate(2 * blockBytes);
  try {
    const last = Math.floor(sizeBytes / blockBytes) - 1;
    const result = await ringResult(ring, (handlerId) =>
      ring.readAt(slot, last * blockBytes, at + blockBytes, blockBytes, handlerId, 0),
    );
    // Any other error is about this block, and for whoever reads it.
    return result !== -EINVAL;
  } finally {
    ring.arena.release(at, 2 * blockBytes);
  }
}

interface Methods {
  readonly trimMethod: number;
  readonly zeroMethod: number;
  readonly zeroKeepMethod: number;
}

const NO_METHODS: Methods = {
  trimMethod: METHOD_NONE,
  zeroMethod: METHOD_NONE,
  zeroKeepMethod: METHOD_NONE,
};

async function findMethods(ring: Ring, slot: number, info: NativeDeviceInfo): Promise<Methods> {
  if (info.kind === 'file') {
    // A hole beyond the end of the file changes nothing and shows whether holes are possible.
    const beyond = Math.ceil(info.sizeBytes / 4096) * 4096;
    const result = await ringResult(ring, (handlerId) =>
      ring.allocateRange(slot, MODE_PUNCH, beyond, 4096, handlerId, 0),
    );
    if (result !== 0) return NO_METHODS;
    return { trimMethod: METHOD_PUNCH, zeroMethod: METHOD_PUNCH, zeroKeepMethod: METHOD_ZERO };
  }
  const zeroes = info.writeZeroesMaxBytes > 0;
  const zeroMethod = zeroes ? METHOD_PUNCH : METHOD_NONE;
  const zeroKeepMethod = zeroes ? METHOD_ZERO : METHOD_NONE;
  if (info.discardMaxBytes === 0) return { trimMethod: METHOD_NONE, zeroMethod, zeroKeepMethod };
  // A discard of no bytes is invalid where the command exists and unsupported where it does not.
  const result = await ringResult(ring, (handlerId) => ring.discardRange(slot, 0, 0, handlerId, 0));
  const trimMethod = result === -EINVAL || result === 0 ? METHOD_DISCARD : zeroMethod;
  return { trimMethod, zeroMethod, zeroKeepMethod };
}

function geometryOf(
  info: NativeDeviceInfo,
  blockBytes: number,
  { readOnly, direct }: { readonly readOnly: boolean; readonly direct: boolean },
  methods: Methods,
): Geometry {
  let features = readOnly ? FEATURE_READ_ONLY : FEATURE_FUA;
  if (methods.trimMethod !== METHOD_NONE) features |= FEATURE_TRIM;
  if (methods.trimMethod === METHOD_PUNCH) features |= FEATURE_TRIM_ZEROES;
  if (methods.zeroMethod !== METHOD_NONE) features |= FEATURE_WRITE_ZEROES;
  return {
    blockBytes,
    blockCount: Math.floor(info.sizeBytes / blockBytes),
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: REQUEST_BYTES_MAX / blockBytes,
    physicalBlockBytes: Math.max(blockBytes, info.physicalBlockBytes),
    rotational: info.rotational,
    // Whatever the disk has: without O_DIRECT the page cache lies before it.
    volatileCache: info.volatileCache || !direct,
    features,
    trimGranularityBlocks: Math.max(1, Math.floor(info.discardGranularityBytes / blockBytes)),
  };
}

/** One ring operation as a promise. */
function ringResult(ring: Ring, start: (handlerId: number) => void): Promise<number> {
  return new Promise((resolve) => {
    const handler: RingHandler = {
      ringComplete(_token: number, result: number): void {
        ring.unregisterHandler(handlerId);
        resolve(result);
      },
    };
    const handlerId = ring.registerHandler(handler);
    start(handlerId);
  });
}

const OPEN_ERRORS: Readonly<Record<number, readonly [code: ErrorCode, why: string, hint: string]>> =
  {
    [ENOENT]: ['BANDSTAND_DEVICE_MISSING', 'it does not exist', 'check the path'],
    [EACCES]: [
      'BANDSTAND_DEVICE_PERMISSION',
      'permission denied',
      'run as root, or change the mode',
    ],
    [EPERM]: [
      'BANDSTAND_DEVICE_PERMISSION',
      'permission denied',
      'run as root, or change the mode',
    ],
    [EROFS]: ['BANDSTAND_DEVICE_PERMISSION', 'it is read-only', 'use a writable device'],
    [EBUSY]: [
      'BANDSTAND_DEVICE_BUSY',
      'device is busy',
      'unmount it and stop whatever uses it (lsblk, fuser), or pass a different device',
    ],
    [EIO]: ['BANDSTAND_DEVICE_IO', 'input/output error', 'look at the kernel log (dmesg)'],
    [ENXIO]: ['BANDSTAND_DEVICE_MISSING', 'there is no device behind it', 'check the path'],
    [ENODEV]: ['BANDSTAND_DEVICE_MISSING', 'there is no device behind it', 'check the path'],
    [ENOMEDIUM]: ['BANDSTAND_DEVICE_MISSING', 'there is no medium in it', 'insert a medium'],
  };

function openError(path: string, errno: number): BandstandError {
  const [code, why, hint] = OPEN_ERRORS[errno] ?? [
    'BANDSTAND_DEVICE_INVALID' as const,
    `${statusText(errno)} (${statusName(errno)})`,
    'look at the kernel log (dmesg)',
  ];
  return new BandstandError(code, {
    message: `cannot open ${path}: ${why}`,
    hint,
    details: { device: path, errno },
  });
}
