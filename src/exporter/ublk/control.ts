/**
 * UblkControl: makes, describes and removes ublk devices.                          (control plane)
 *
 * Runs in the process of the command, never in the one that serves the device: START_DEV reads the
 * partition table through the server, and a server that waits for its own START_DEV when it dies
 * cannot be killed on kernels before 6.18.4. The order that works:
 *
 *   control: add, setParams · server: open, fetch every tag · control: start(pid of the server)
 *   control: stop · server: sees its tags retired, closes · control: delete
 *
 * Devices are asked for with user recovery, so that a server that dies leaves its device waiting
 * (state `quiesced`) instead of failing its users: another server may take over, or `remove` gives
 * the device up.
 *
 * Every command is bounded in time and fails with a BandstandError that says what the driver
 * answered. Not here: sending (control-ring.ts), parameters (control-params.ts), serving.
 */

import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError, type ErrorCode } from '../../block/errors.ts';
import {
  EACCES,
  EBUSY,
  ECANCELED,
  EEXIST,
  EINTR,
  EINVAL,
  ENODEV,
  ENOENT,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  statusName,
  statusText,
} from '../../block/status.ts';
import type { NativeAddon } from '../../native/addon.ts';
import { ControlRing } from './control-ring.ts';
import {
  blockDevicePath,
  CMD_ADD_DEV,
  CMD_DEL_DEV_ASYNC,
  CMD_END_USER_RECOVERY,
  CMD_GET_DEV_INFO,
  CMD_GET_FEATURES,
  CMD_GET_PARAMS,
  CMD_SET_PARAMS,
  CMD_START_DEV,
  CMD_START_USER_RECOVERY,
  CMD_STOP_DEV,
  CONTROL_PATH,
  DEV_INFO_BYTES,
  decodeDeviceInfo,
  decodeParams,
  encodeDeviceInfo,
  encodeParams,
  encodeParamsRequest,
  F_CMD_IOCTL_ENCODE,
  F_USER_RECOVERY,
  F_USER_RECOVERY_REISSUE,
  featureNames,
  ID_ANY,
  OWNER_TAG,
  QUEUE_NONE,
  type UblkDeviceInfo,
  type UblkParams,
} from './uapi.ts';

const O_RDWR = 2;
const TIMEOUT_MS_DEFAULT = 30_000;
const MODPROBE_TIMEOUT_MS = 10_000;
const DEVICES_DIRECTORY = '/sys/class/ublk-char';
const NOTHING = new Uint8Array(0);
const NUMBER_WAIT_MS = 2000;
const NUMBER_LOOK_MS = 5;

export interface UblkControlOptions {
  readonly native: NativeAddon;
  /** Limit of one command; default 30 s. */
  readonly timeoutMs?: number;
  /** Try `modprobe ublk_drv` when the control device is missing; default true. */
  readonly loadModule?: boolean;
  /** Tests: another control device. */
  readonly controlPath?: string;
}

export interface UblkAddOptions {
  /** N of /dev/ublkbN; null: the kernel chooses. */
  readonly id: number | null;
  readonly queues: number;
  readonly depth: number;
  /** Size of one request buffer of the server. */
  readonly maxIoBytes: number;
  /** The device outlives its server (default true). */
  readonly userRecovery?: boolean;
}

export interface UblkFeatures {
  readonly flags: bigint;
  readonly names: readonly string[];
}

export interface UblkAdded extends UblkDeviceInfo {
  /** Features that were asked for and that the driver does not have. */
  readonly missing: readonly string[];
}

export class UblkControl {
  /** What the driver of this kernel can do. */
  readonly features: UblkFeatures;
  readonly #native: NativeAddon;
  readonly #fd: number;
  readonly #ring: ControlRing;
  readonly #timeoutMs: number;

  /**
   * Throws BANDSTAND_UBLK_UNAVAILABLE (no driver, or one older than Linux 6.5) or
   * BANDSTAND_UBLK_PERMISSION.
   */
  static async open(options: UblkControlOptions): Promise<UblkControl> {
    const { native } = options;
    const fd = await openControl(options);
    let ring: ControlRing | null = null;
    try {
      ring = createRing(native, fd);
      const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
      return new UblkControl(native, fd, ring, await askFeatures(ring, timeoutMs), timeoutMs);
    } catch (error) {
      ring?.close();
      native.fileClose(fd);
      throw error;
    }
  }

  private constructor(
    native: NativeAddon,
    fd: number,
    ring: ControlRing,
    features: UblkFeatures,
    timeoutMs: number,
  ) {
    this.#native = native;
    this.#fd = fd;
    this.#ring = ring;
    this.features = features;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Makes a device; it has no disk yet. The driver may grant fewer queues (one per processor), a
   * smaller buffer (whole pages) and fewer features: use what is returned.
   */
  async add(options: UblkAddOptions): Promise<UblkAdded> {
    const id = options.id ?? ID_ANY;
    const recovery = options.userRecovery ?? true;
    const flags = F_CMD_IOCTL_ENCODE | (recovery ? F_USER_RECOVERY | F_USER_RECOVERY_REISSUE : 0n);
    const payload = encodeDeviceInfo({
      id,
      queues: options.queues,
      depth: options.depth,
      maxIoBytes: options.maxIoBytes,
      flags,
      ownerTag: OWNER_TAG,
    });
    const reply = await this.#command('add', CMD_ADD_DEV, id, payload);
    const info = decodeDeviceInfo(reply);
    return { ...info, missing: featureNames(flags & ~info.flags) };
  }

  async setParams(id: number, params: UblkParams): Promise<void> {
    await this.#command('set the parameters of', CMD_SET_PARAMS, id, encodeParams(params));
  }

  /** What the driver kept of the parameters; null before they are set. */
  async getParams(id: number): Promise<UblkParams | null> {
    const payload = encodeParamsRequest();
    return decodeParams(await this.#command('read the parameters of', CMD_GET_PARAMS, id, payload));
  }

  async getInfo(id: number): Promise<UblkDeviceInfo> {
    const payload = new Uint8Array(DEV_INFO_BYTES);
    return decodeDeviceInfo(await this.#command('describe', CMD_GET_DEV_INFO, id, payload));
  }

  /**
   * Makes the disk appear. Waits until the server with `serverPid` has fetched every tag, and on
   * most kernels until the partition table has been read through it.
   */
  async start(id: number, serverPid: number): Promise<void> {
    await this.#command('start', CMD_START_DEV, id, NOTHING, serverPid);
  }

  /** Removes the disk. The server goes on serving until what is in flight has been answered. */
  async stop(id: number): Promise<void> {
    await this.#command('stop', CMD_STOP_DEV, id, NOTHING);
  }

  /**
   * Removes the device. Its number is free again when nobody has it open or mounted any more, which
   * is waited for, but not for long: a file system may stay mounted on what is left of it.
   */
  async delete(id: number): Promise<void> {
    await this.#command('delete', CMD_DEL_DEV_ASYNC, id, NOTHING);
    const deadline = performance.now() + Math.min(this.#timeoutMs, NUMBER_WAIT_MS);
    while (performance.now() < deadline && (await this.#exists(id))) await sleep(NUMBER_LOOK_MS);
  }

  async #exists(id: number): Promise<boolean> {
    try {
      await this.getInfo(id);
      return true;
    } catch (error) {
      if (isNoDevice(error)) return false;
      throw error;
    }
  }

  /** Stops and deletes a device in any state; one that is gone already is no error. */
  async remove(id: number): Promise<void> {
    try {
      await this.stop(id);
      await this.delete(id);
    } catch (error) {
      if (!isNoDevice(error)) throw error;
    }
  }

  /** A new server is about to take over a quiesced device. EBUSY while the old one lives. */
  async startRecovery(id: number): Promise<void> {
    await this.#command('recover', CMD_START_USER_RECOVERY, id, NOTHING);
  }

  /** The new server has fetched every tag. */
  async endRecovery(id: number, serverPid: number): Promise<void> {
    await this.#command('recover', CMD_END_USER_RECOVERY, id, NOTHING, serverPid);
  }

  /** Every ublk device of this machine, also those of other programs. */
  async list(): Promise<UblkDeviceInfo[]> {
    const devices: UblkDeviceInfo[] = [];
    for (const id of await listIds()) {
      try {
        devices.push(await this.getInfo(id));
      } catch (error) {
        // It went away between the two looks.
        if (!isNoDevice(error)) throw error;
      }
    }
    return devices;
  }

  /** True when this program made the device. */
  isOurs(info: UblkDeviceInfo): boolean {
    return info.ownerTag === OWNER_TAG;
  }

  close(): void {
    this.#ring.close();
    this.#native.fileClose(this.#fd);
  }

  async #command(
    action: string,
    op: number,
    id: number,
    payload: Uint8Array,
    data = 0,
  ): Promise<Uint8Array> {
    const timeoutMs = this.#timeoutMs;
    const reply = await this.#ring.send({
      op,
      deviceId: id,
      queueId: QUEUE_NONE,
      payload,
      data,
      timeoutMs,
    });
    if (reply === null || isInterrupted(reply.result)) throw timeoutError(action, id, timeoutMs);
    if (reply.result < 0) throw commandError(action, id, -reply.result);
    return reply.payload;
  }
}

function isNoDevice(error: unknown): boolean {
  return error instanceof BandstandError && error.code === 'BANDSTAND_UBLK_NO_DEVICE';
}

/** Ids of all ublk devices, in order; the driver has no command for it. */
export async function listIds(directory = DEVICES_DIRECTORY): Promise<number[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch {
    return [];
  }
  return names
    .map((name) => /^ublkc(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

async function openControl(options: UblkControlOptions): Promise<number> {
  const path = options.controlPath ?? CONTROL_PATH;
  let fd = options.native.fileOpen(path, O_RDWR, 0);
  let refusal: string | null = null;
  if (isMissing(fd) && (options.loadModule ?? true)) {
    refusal = await loadModule();
    fd = options.native.fileOpen(path, O_RDWR, 0);
  }
  if (fd >= 0) return fd;
  const why = `opening ${path}: ${statusText(fd)} (${statusName(fd)})`;
  if (!isMissing(fd)) throw permissionError(`cannot use ublk: ${why}`, -fd);
  throw new BandstandError('BANDSTAND_UBLK_UNAVAILABLE', {
    message: `cannot use ublk on Linux ${release()}: ${refusal ?? why}`,
    hint: 'use `--via nbd`, or a kernel from 6.12 on with the module ublk_drv',
    details: { path, errno: -fd },
  });
}

function isMissing(fd: number): boolean {
  return fd === -ENOENT || fd === -ENODEV || fd === -ENXIO;
}

/** Null when the module is there afterwards, otherwise why not. */
function loadModule(): Promise<string | null> {
  const options = {
    timeout: MODPROBE_TIMEOUT_MS,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  };
  return new Promise((resolve) => {
    execFile('modprobe', ['ublk_drv'], options, (error, _stdout, stderr) => {
      if (error === null) resolve(null);
      else {
        const said = stderr.trim().split('\n')[0];
        resolve(`modprobe ublk_drv: ${said === undefined || said === '' ? error.message : said}`);
      }
    });
  });
}

function createRing(native: NativeAddon, fd: number): ControlRing {
  try {
    return new ControlRing(native, fd);
  } catch (error) {
    const { errno } = error as { errno?: unknown };
    if (typeof errno !== 'number') throw error;
    throw new BandstandError('BANDSTAND_URING_UNAVAILABLE', {
      message: `cannot set up an io_uring for ublk commands: ${statusText(errno)} (${statusName(errno)})`,
      hint: 'run as root, and set the sysctl kernel.io_uring_disabled to 0',
      details: { errno: Math.abs(errno) },
      cause: error,
    });
  }
}

async function askFeatures(ring: ControlRing, timeoutMs: number): Promise<UblkFeatures> {
  const reply = await ring.send({
    op: CMD_GET_FEATURES,
    deviceId: ID_ANY,
    queueId: QUEUE_NONE,
    payload: new Uint8Array(8),
    data: 0,
    timeoutMs,
  });
  if (reply === null || isInterrupted(reply.result)) {
    throw timeoutError('ask the features of', null, timeoutMs);
  }
  const errno = -reply.result;
  if (errno === EPERM || errno === EACCES) {
    throw permissionError(`cannot use ublk: ${statusText(errno)} (${statusName(errno)})`, errno);
  }
  if (errno > 0) {
    throw new BandstandError('BANDSTAND_UBLK_UNAVAILABLE', {
      message: `cannot use ublk on Linux ${release()}: its driver does not tell its features: ${statusText(errno)} (${statusName(errno)})`,
      hint: 'use `--via nbd`, or a kernel from 6.12 on',
      details: { errno },
    });
  }
  const flags = new DataView(reply.payload.buffer).getBigUint64(0, true);
  return { flags, names: featureNames(flags) };
}

// --- errors -----------------------------------------------------------------------------------

/** The command was cancelled at its time limit. */
function isInterrupted(result: number): boolean {
  return result === -EINTR || result === -ECANCELED;
}

function subject(id: number | null): string {
  if (id === null) return 'the ublk driver';
  return id === ID_ANY ? 'a ublk device' : blockDevicePath(id);
}

function timeoutError(action: string, id: number | null, timeoutMs: number): BandstandError {
  return new BandstandError('BANDSTAND_UBLK_TIMEOUT', {
    message: `cannot ${action} ${subject(id)}: the kernel has not answered for ${timeoutMs / 1000} seconds`,
    hint: 'look at the kernel log (dmesg), and at whether the server of the device is alive',
    details: { id, timeout_ms: timeoutMs },
  });
}

function permissionError(message: string, errno: number): BandstandError {
  return new BandstandError('BANDSTAND_UBLK_PERMISSION', {
    message,
    hint: 'run as root (CAP_SYS_ADMIN is needed), or use `--via nbd`',
    details: { errno },
  });
}

const REFUSALS: Readonly<Record<number, readonly [ErrorCode, why: string, hint: string]>> = {
  [EEXIST]: [
    'BANDSTAND_UBLK_ID_TAKEN',
    'it exists already',
    'choose another --id, or leave the choice to the kernel',
  ],
  [ENODEV]: [
    'BANDSTAND_UBLK_NO_DEVICE',
    'there is no such ublk device',
    'look at /sys/class/ublk-char for the devices that exist',
  ],
  [EBUSY]: [
    'BANDSTAND_UBLK_BUSY',
    'it is in use',
    'end the process that has its /dev/ublkc node open, and try again',
  ],
  [EINVAL]: [
    'BANDSTAND_UBLK_REFUSED',
    'the driver does not accept these values',
    'look at the kernel log (dmesg) for what it says',
  ],
  [EOPNOTSUPP]: [
    'BANDSTAND_UBLK_REFUSED',
    'the driver of this kernel cannot do that',
    'use a newer kernel, or do without',
  ],
};

function commandError(action: string, id: number, errno: number): BandstandError {
  const said = `${statusText(errno)} (${statusName(errno)})`;
  if (errno === EPERM || errno === EACCES) {
    return permissionError(`cannot ${action} ${subject(id)}: ${said}`, errno);
  }
  const refusal = REFUSALS[errno];
  return new BandstandError(refusal?.[0] ?? 'BANDSTAND_UBLK_REFUSED', {
    message: `cannot ${action} ${subject(id)}: ${refusal === undefined ? said : `${refusal[1]} (${statusName(errno)})`}`,
    hint: refusal?.[2] ?? 'look at the kernel log (dmesg) for what the driver says',
    details: { id: id === ID_ANY ? null : id, errno },
  });
}
