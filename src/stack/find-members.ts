/**
 * Finds the devices of a stack and decides which fills which slot.                  (control plane)
 *
 * Looks at the devices that the user gave; else at the remembered paths, and when those do not
 * suffice at every block device of the machine; also when a recorded loss could be made good by a
 * device that is somewhere else. Looking opens devices read-only and changes
 * nothing. What is chosen is opened for use by stack.ts, which then asks the superblocks again,
 * because somebody may have written between the two.
 */

import { realpathSync } from 'node:fs';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import {
  type AssembleOptions,
  type Assembly,
  assembleArray,
  otherDevices,
} from '../raid/assemble.ts';
import { type Examination, examineDevice } from '../raid/examine.ts';
import { type DeviceSpec, parseDeviceSpec } from './device-spec.ts';
import { makeLeaf } from './device-tree.ts';
import { identifyDevice, scanBlockDevices } from './device-usage.ts';
import type { RememberedMember, RememberedSpare } from './state-store.ts';

/** Which array is wanted, and where to look for it. */
export interface MemberSearch {
  /** Of the array. */
  readonly name: string;
  /** Of the array, when it is known: members of another one are refused. */
  readonly uuid: string | null;
  /** Device specifications given by the user; empty: remembered paths and a scan. */
  readonly devices: readonly string[];
  readonly remembered: {
    readonly members: readonly RememberedMember[];
    readonly spares: readonly RememberedSpare[];
  } | null;
  /** Start with members missing although they were not missing at the last clean stop. */
  readonly degraded: boolean;
}

export interface FoundMembers {
  readonly assembly: Assembly;
  /** Device name → how to open it, for every device that was looked at. */
  readonly specs: ReadonlyMap<string, DeviceSpec>;
  readonly options: AssembleOptions;
  /** Names of devices that fill no slot and can be used: a target, returning members, spares. */
  readonly others: readonly string[];
  /** Remembered device → why it could not be looked at. */
  readonly unreadable: ReadonlyMap<string, BandstandError>;
}

/** Throws BandstandError: what is missing, damaged or ambiguous, in words of raid/assemble.ts. */
export async function findMembers(reactor: Reactor, plan: MemberSearch): Promise<FoundMembers> {
  const wanted = plan.uuid === null ? { name: plan.name } : { uuid: plan.uuid };
  const base: AssembleOptions = { ...wanted, degraded: plan.degraded };
  if (plan.devices.length > 0) {
    const specs = plan.devices.map(parseDeviceSpec);
    refuseRepeated(plan.name, specs);
    return await assembleFrom(reactor, specs, [], { ...base, identities: identities(specs) });
  }
  const { members = [], spares = [] } = plan.remembered ?? {};
  const paths = new Set([...members, ...spares].map(({ path }) => presentPath(path)));
  const remembered = [...paths].map((path): DeviceSpec => ({ kind: 'path', path, uuid: null }));
  const known = identitiesRemembered(plan);
  const options: AssembleOptions = { ...base, scan: true, identities: known };
  const everywhere = async (): Promise<FoundMembers> => {
    const others = scanBlockDevices().filter((path) => !isAmong(path, remembered));
    const scanned = others.map((path): DeviceSpec => ({ kind: 'path', path, uuid: null }));
    return await assembleFrom(reactor, remembered, scanned, options);
  };
  let found: FoundMembers;
  try {
    // Strictly at first: only when a member is not where it was, the whole machine is searched.
    found = await assembleFrom(reactor, remembered, [], { ...options, degraded: false });
  } catch (error) {
    if (!(error instanceof BandstandError) || !error.code.startsWith('BANDSTAND_ARRAY_'))
      throw error;
    return await everywhere();
  }
  // It can start as it is, but what it lacks may have moved, or a spare may be somewhere.
  if (found.assembly.degraded && found.others.length === 0) {
    try {
      return await everywhere();
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      return withWarning(found, `nothing was found that could complete it: ${error.message}`);
    }
  }
  return found;
}

function withWarning(found: FoundMembers, warning: string): FoundMembers {
  const { assembly } = found;
  return { ...found, assembly: { ...assembly, warnings: [...assembly.warnings, warning] } };
}

function refuseRepeated(name: string, specs: readonly DeviceSpec[]): void {
  const seen = new Map<string, string>();
  for (const spec of specs) {
    const path = innermostPath(spec);
    if (path === null) continue;
    const { key } = identifyDevice(path);
    const other = seen.get(key);
    if (other !== undefined) {
      throw new BandstandError('BANDSTAND_MEMBER_DUPLICATE', {
        message: `cannot assemble ${name}: ${other} and ${path} are the same device`,
        hint: 'name each member once',
        details: { name, devices: [other, path] },
      });
    }
    seen.set(key, path);
  }
}

/** The file or block device under filters, or null for devices in memory. */
export function innermostPath(spec: DeviceSpec): string | null {
  if (spec.kind === 'path') return spec.path;
  if (spec.kind === 'error' || spec.kind === 'delay') return innermostPath(spec.child);
  return null;
}

/** What `PATH=UUID` says, by device name. */
function identities(specs: readonly DeviceSpec[]): ReadonlyMap<string, string> {
  return new Map(
    specs.flatMap((spec) =>
      spec.kind === 'path' && spec.uuid !== null ? [[spec.path, spec.uuid] as const] : [],
    ),
  );
}

/** A member without a label was named by the user once; its path is remembered with its UUID. */
function identitiesRemembered(plan: MemberSearch): ReadonlyMap<string, string> {
  return new Map(
    (plan.remembered?.members ?? []).flatMap(({ path, uuid }) =>
      uuid === null ? [] : [[presentPath(path), uuid] as const],
    ),
  );
}

/** What a stable link points to at present: the name that people see elsewhere. */
export function presentPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isAmong(path: string, specs: readonly DeviceSpec[]): boolean {
  const key = keyOf(path);
  return key !== null && specs.some((spec) => spec.kind === 'path' && keyOf(spec.path) === key);
}

/** Identity of the file or block device below filters; null when it has gone. */
export function keyOf(device: string): string | null {
  try {
    const path = innermostPath(parseDeviceSpec(device));
    return path === null ? null : identifyDevice(path).key;
  } catch {
    return null;
  }
}

/** `expected` devices belong to the stack, as far as is known; `scanned` ones may be anybody's. */
async function assembleFrom(
  reactor: Reactor,
  expected: readonly DeviceSpec[],
  scanned: readonly DeviceSpec[],
  options: AssembleOptions,
): Promise<FoundMembers> {
  const byName = new Map<string, DeviceSpec>();
  const examinations: Examination[] = [];
  const unreadable = new Map<string, BandstandError>();
  for (const spec of [...expected, ...scanned]) {
    const device = makeLeaf(nameless(spec), { readOnly: true });
    byName.set(device.name, spec);
    const seen = await look(reactor, device);
    if (!(seen instanceof BandstandError)) examinations.push(seen);
    else if (options.scan !== true) throw seen;
    else if (expected.includes(spec)) unreadable.set(device.name, seen);
  }
  const given = stated(options, examinations);
  try {
    const assembly = assembleArray(examinations, given);
    const others = otherDevices(assembly);
    return { assembly, specs: byName, options: given, others, unreadable };
  } catch (error) {
    throw withUnreadable(error, unreadable);
  }
}

/** What is there and cannot be looked at is not simply missing: its error says what to do. */
function withUnreadable(error: unknown, unreadable: ReadonlyMap<string, BandstandError>): unknown {
  const there = [...unreadable.values()].filter(({ code }) => code !== 'BANDSTAND_DEVICE_MISSING');
  const [first] = there;
  if (first === undefined || !(error instanceof BandstandError)) return error;
  const whys = there.map(({ message }) => message);
  const hint = first.hint ?? error.hint;
  return new BandstandError(error.code, {
    message: [error.message, ...whys].join('; '),
    ...(hint === null ? {} : { hint }),
    details: { ...error.details, unreadable: whys },
    cause: first,
  });
}

/**
 * A remembered UUID helps only a device without a label. Where a label is, it speaks for itself:
 * disks may have changed their paths since.
 */
function stated(options: AssembleOptions, examinations: readonly Examination[]): AssembleOptions {
  if (options.scan !== true || options.identities === undefined) return options;
  const labelled = new Set(
    examinations.filter(({ label }) => label !== null).map(({ device }) => device),
  );
  const identities = new Map([...options.identities].filter(([device]) => !labelled.has(device)));
  return { ...options, identities };
}

/** The device of a `PATH=UUID` specification is called PATH. */
export function nameless(spec: DeviceSpec): DeviceSpec {
  return spec.kind === 'path' ? { ...spec, uuid: null } : spec;
}

/** What is on the device, or why it cannot be opened. */
async function look(reactor: Reactor, device: BlockDevice): Promise<Examination | BandstandError> {
  try {
    await device.open(reactor);
  } catch (error) {
    if (error instanceof BandstandError) return error;
    throw error;
  }
  try {
    return await examineDevice(reactor, device);
  } finally {
    await device.close();
  }
}
