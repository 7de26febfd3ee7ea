/**
 * From a device specification to a tree of BlockDevices, not yet opened.            (control plane)
 *
 * Arrays inside a specification have no superblock: their members start at block 0, as for a
 * benchmark or a test. Arrays that people keep are created and assembled through their superblocks.
 */

import type { BlockDevice } from '../block/block-device.ts';
import {
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../block/block-io.ts';
import { BandstandError } from '../block/errors.ts';
import { parseDuration } from '../block/quantities.ts';
import { DelayDevice } from '../device/delay-device.ts';
import { ErrorDevice, type FaultRule } from '../device/error-device.ts';
import { FileDevice } from '../device/file-device.ts';
import { FilterDevice } from '../device/filter-device.ts';
import { MemoryDevice } from '../device/memory-device.ts';
import { NullDevice } from '../device/null-device.ts';
import { type DeviceSpec, formatDeviceSpec } from './device-spec.ts';

export interface DeviceTreeOptions {
  readonly readOnly?: boolean;
  /** 512 or 4096; the device's own when absent. */
  readonly blockBytes?: number;
  /** Operations in flight in the kernel, for each file or block device. */
  readonly depth?: number;
  /** See FileDeviceOptions.deadlineUs. */
  readonly deadlineUs?: number;
}

/** How long a member may take before an array that can do without it does so. */
export const MEMBER_DEADLINE_US = 30_000_000;

/** Looks whether the file or block device under any filters has grown; its observer hears of it. */
export function refreshSize(device: BlockDevice): void {
  if (device instanceof FilterDevice) refreshSize(device.lower);
  else if (device instanceof FileDevice) device.refreshSize();
}

/** Everything but arrays; those need opened members (array-tree.ts). */
export function makeLeaf(spec: DeviceSpec, options: DeviceTreeOptions = {}): BlockDevice {
  const name = formatDeviceSpec(spec);
  const { blockBytes } = options;
  const blocks = blockBytes === undefined ? {} : { blockBytes };
  switch (spec.kind) {
    case 'path': {
      const depth = options.depth === undefined ? {} : { depth: options.depth };
      const { deadlineUs = 0 } = options;
      return new FileDevice(spec.path, {
        readOnly: options.readOnly ?? false,
        deadlineUs,
        ...blocks,
        ...depth,
      });
    }
    case 'null':
      return new NullDevice(name, { sizeBytes: spec.bytes, ...blocks });
    case 'mem':
      return new MemoryDevice(name, { sizeBytes: spec.bytes, ...blocks });
    case 'error':
      return new ErrorDevice(makeLeaf(spec.child, options), [faultRule(spec.options, name)]);
    case 'delay':
      return new DelayDevice(makeLeaf(spec.child, options), delayOptions(spec.options, name));
    case 'array':
      throw invalid(
        name,
        'an array can stand only at the outside',
        'put the filter around a member',
      );
  }
}

function invalid(name: string, why: string, hint: string): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_INVALID', {
    message: `cannot use the device '${name}': ${why}`,
    hint,
    details: { device: name },
  });
}

const OPS: Readonly<Record<string, Op>> = {
  read: OP_READ,
  write: OP_WRITE,
  flush: OP_FLUSH,
  trim: OP_TRIM,
  'write-zeroes': OP_WRITE_ZEROES,
};

const ERROR_HINT =
  'write error(DEVICE,op=read|write|flush|trim|write-zeroes,first=BLOCK,count=N,skip=N,every=N,times=N,errno=N)';

/** Without options every operation fails with EIO. */
function faultRule(options: Readonly<Record<string, string>>, name: string): FaultRule {
  const rule: { -readonly [Key in keyof FaultRule]: FaultRule[Key] } = {};
  for (const [key, value] of Object.entries(options)) {
    if (key === 'op') {
      const op = OPS[value];
      if (op === undefined) throw invalid(name, `there is no operation '${value}'`, ERROR_HINT);
      rule.ops = [op];
    } else if (key === 'first') rule.firstBlock = wholeNumber(name, key, value);
    else if (key === 'count') rule.blockCount = wholeNumber(name, key, value);
    else if (key === 'skip') rule.skip = wholeNumber(name, key, value);
    else if (key === 'every') rule.every = wholeNumber(name, key, value, 1);
    else if (key === 'times') rule.times = wholeNumber(name, key, value);
    else if (key === 'errno') rule.status = wholeNumber(name, key, value, 1);
    else throw invalid(name, `error has no option '${key}'`, ERROR_HINT);
  }
  return rule;
}

const DELAY_HINT = 'write delay(DEVICE,min=DURATION,max=DURATION,seed=N)';

function delayOptions(
  options: Readonly<Record<string, string>>,
  name: string,
): { minUs: number; maxUs?: number; seed?: number } {
  const result: { minUs: number; maxUs?: number; seed?: number } = { minUs: 1000 };
  for (const [key, value] of Object.entries(options)) {
    if (key === 'min') result.minUs = microseconds(name, key, value);
    else if (key === 'max') result.maxUs = microseconds(name, key, value);
    else if (key === 'seed') result.seed = wholeNumber(name, key, value);
    else throw invalid(name, `delay has no option '${key}'`, DELAY_HINT);
  }
  if (result.maxUs !== undefined && result.maxUs < result.minUs) {
    throw invalid(name, 'max is below min', DELAY_HINT);
  }
  return result;
}

function microseconds(name: string, key: string, value: string): number {
  const us = /^(\d+)us$/.exec(value);
  if (us !== null) return wholeNumber(name, key, us[1]!);
  const ms = parseDuration(value);
  if (ms === null) throw invalid(name, `${key}=${value} is not a duration`, DELAY_HINT);
  return ms * 1000;
}

function wholeNumber(name: string, key: string, value: string, least = 0): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least)) {
    throw invalid(name, `${key}=${value} is not a whole number from ${least} on`, 'correct it');
  }
  return number;
}
