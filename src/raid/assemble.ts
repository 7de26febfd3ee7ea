/**
 * assemble: which device fills which slot, from what examination found.             (control plane)
 *
 * Nothing is guessed. The array is the one that all superblocks name (or the one asked for); its
 * newest superblock decides; a device is the member that its label says, or, without a label, the
 * one that the user says. A member whose superblock is older than the newest was absent when
 * something changed: at a level with redundancy it is stale and stays out. At a level without,
 * nothing can have changed without it, so an older number is only noted. One exception: when
 * writing the newest superblock to the members was interrupted, nothing was written to the array
 * under it, so the members that it did not reach are current. That is the case when no label goes
 * with the newest sequence, for labels are marked only after every member has the superblock.
 *
 * The target of a rebuild is no member until the newest superblock says so, whatever else it
 * carries; from then on it is one, although its label may not say so yet: an array that starts
 * without it moves the superblock on first. What fills no slot (targets, returning members, spares)
 * is told as well, because a running array can use it; nothing of that kind stops assembly
 * (outsiders.ts, spares.ts).
 *
 * Members that the newest superblock records as lost are left out and the array starts, if the
 * level survives it; a member that is merely not there stops assembly unless `degraded` says that
 * this is meant. Either way the reason is given for each slot.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { ArraySpec } from './array-spec.ts';
import type { Examination } from './examine.ts';
import {
  checkComplete,
  type Find,
  findArray,
  isSameSuperblock,
  updateInterrupted,
} from './find-array.ts';
import { identify } from './identify.ts';
import type { Label, LabelProcess } from './label.ts';
import { levelRules, survives } from './level-rules.ts';
import { sortOutsiders } from './outsiders.ts';
import { commonMissedSince, commonProcess, currentLabels, ownLabel } from './own-label.ts';
import type { RebuildTarget } from './rebuild-target.ts';
import type { ReturningMember } from './returning-members.ts';
import { findSpares, type SpareDevice } from './spares.ts';
import type { Superblock } from './superblock.ts';

export interface AssembleOptions {
  /** The array that is wanted; without either there has to be exactly one. */
  readonly uuid?: string;
  readonly name?: string;
  /** Start without members that are missing, stale or damaged. */
  readonly degraded?: boolean;
  /** Device name → member UUID, for devices without a label. */
  readonly identities?: ReadonlyMap<string, string>;
  /** Devices without a label are in slot order: the first given is slot 0. */
  readonly slotOrder?: boolean;
  /** The devices come from a scan: what does not fit is left aside instead of refused. */
  readonly scan?: boolean;
}

export interface AssembledSlot {
  readonly slot: number;
  readonly uuid: string;
  readonly dataOffset: number;
  readonly dataSize: number;
  /** The name of the device that fills the slot, or null. */
  readonly device: string | null;
  /** Its newest label of this array, or null. */
  readonly label: Label | null;
  /** The sequence of its newest label, of whichever array; 0 without a label. */
  readonly labelSequence: number;
  /** The sequence of its superblock; null when no device fills the slot, or when it is torn. */
  readonly seq: number | null;
  /** Why no device fills it: a phrase such as `no device holds it`; null when one does. */
  readonly reason: string | null;
  /** True when the superblock itself records the loss. */
  readonly recorded: boolean;
}

export interface Assembly {
  readonly superblock: Superblock;
  readonly slots: readonly AssembledSlot[];
  readonly degraded: boolean;
  /** False when a member was not stopped cleanly; null when labels that would tell are missing. */
  readonly clean: boolean | null;
  /** True when a label of the array, of whatever time, says that an FTL owns its blocks. */
  readonly ftl: boolean;
  /** True when such a label says that the array is the mirror of an NV cache. */
  readonly nvCache: boolean;
  /** Members whose device is here and cannot be used as it is; all are in `unused`, too. */
  readonly returning: readonly ReturningMember[];
  /** The target of an interrupted rebuild whose device is here. */
  readonly target: RebuildTarget | null;
  readonly spares: readonly SpareDevice[];
  /** The resync or check that was interrupted, or NO_PROCESS. */
  readonly process: LabelProcess;
  /** See Label.missedSince; 0 when the bitmap does not go with the superblock. */
  readonly missedSince: number;
  /** Devices that were given and are not used. */
  readonly unused: readonly { readonly device: string; readonly reason: string }[];
  readonly warnings: readonly string[];
}

/** Throws BandstandError (BANDSTAND_ARRAY_*, MEMBER_*, SUPERBLOCK_* or LABEL_INVALID). */
export function assembleArray(
  examinations: readonly Examination[],
  options: AssembleOptions = {},
): Assembly {
  const found = findArray(examinations, options);
  const { newest } = found;
  const warnings = found.members.flatMap((examination) => examination.warnings);
  const { holders, strangers, replacedDevices } = sortDevices(found, options);
  checkComplete(found, holders.values());
  const slots = newest.members.map(({ slot, uuid }) =>
    fillSlot(found, slot, holders.get(uuid) ?? null, warnings),
  );
  const inService = slots.filter(({ device }) => device !== null);
  const current = currentLabels(
    inService.map(({ label }) => label),
    newest,
  );
  const missedSince = commonMissedSince(current);
  const outside = sortOutsiders(found, slots, holders, strangers, missedSince);
  const spares = findSpares(newest, found.labelled);
  warnings.push(...outside.warnings);
  const judged = [...spares.spares, ...spares.unfit, ...outside.bare].map(({ device }) => device);
  const unused = [
    ...found.unused.filter(({ device }) => !judged.includes(device)),
    ...replacedDevices,
    ...spares.unfit,
    ...outside.unused,
  ];
  checkMissing(newest, outside.slots, options, unused);
  return {
    superblock: newest,
    slots: outside.slots,
    degraded: inService.length < slots.length,
    clean: isClean(
      newest,
      inService.map(({ label }) => label),
    ),
    ftl: found.members.some((member) => ownLabel(member, newest)?.ftl === true),
    nvCache: found.members.some((member) => ownLabel(member, newest)?.nvCache === true),
    returning: outside.returning,
    target: outside.target,
    spares: spares.spares,
    process: commonProcess(current),
    missedSince,
    unused,
    warnings,
  };
}

interface SortedDevices {
  /** Member UUID → device, for the members that the newest superblock lists. */
  readonly holders: ReadonlyMap<string, Examination>;
  /** Targets that it does not list. */
  readonly strangers: readonly Examination[];
  readonly replacedDevices: readonly { readonly device: string; readonly reason: string }[];
}

function sortDevices(found: Find, options: AssembleOptions): SortedDevices {
  const { newest } = found;
  const holders = new Map<string, Examination>();
  const strangers: Examination[] = [];
  const replacedDevices: { device: string; reason: string }[] = [];
  for (const examination of found.members) {
    const uuid = identify(examination, found, options);
    const entry = newest.members.find((member) => member.uuid === uuid);
    if (entry === undefined && ownLabel(examination, newest)?.role === 'target') {
      strangers.push(examination);
      continue;
    }
    if (entry === undefined) {
      const reason = `it was member ${uuid}, which the newest superblock does not list: another device has taken its place`;
      if (options.scan !== true) throw replaced(found, examination, reason);
      replacedDevices.push({ device: examination.device, reason });
      continue;
    }
    const other = holders.get(uuid);
    if (other !== undefined) throw duplicate(found, uuid, other, examination);
    holders.set(uuid, examination);
  }
  return { holders, strangers, replacedDevices };
}

/** Decides whether `holder`, which says that it is the member in `slot`, is used. */
function fillSlot(
  found: Find,
  slot: number,
  holder: Examination | null,
  warnings: string[],
): AssembledSlot {
  const { newest } = found;
  const entry = newest.members[slot]!;
  const { uuid, dataOffset, dataSize, state } = entry;
  const base = { slot, uuid, dataOffset, dataSize, recorded: state !== 'configured' };
  const empty = (reason: string): AssembledSlot => ({ ...base, ...EMPTY, reason });
  if (state !== 'configured') {
    const where = holder === null ? '' : `; ${holder.device} has to be added again`;
    return empty(`recorded as ${state}${where}`);
  }
  if (holder === null) return empty('no device holds it');
  const { seq } = holder.superblock.value!;
  // A torn one counts as no sequence at all, so that it is written again.
  const seqOnDisk = found.torn.has(holder) ? null : seq;
  if (seq < newest.seq) {
    const age = `superblock sequence ${seq}, the array is at ${newest.seq}`;
    const redundant = levelRules(newest.level).tolerates(newest.members.length) > 0;
    if (redundant && !updateInterrupted(found, holder)) {
      return empty(`${holder.device} is stale: ${age}`);
    }
    if (seqOnDisk !== null) warnings.push(`${holder.device} has an older superblock: ${age}`);
  }
  if (seq === newest.seq && !isSameSuperblock(holder.superblock.value!, newest)) {
    return empty(`${holder.device} is stale: its superblock, sequence ${seq}, was never in use`);
  }
  checkFit(newest, slot, holder);
  const label = ownLabel(holder, newest);
  const labelSequence = holder.label?.sequence ?? 0;
  const { device } = holder;
  return { ...base, device, label, labelSequence, seq: seqOnDisk, reason: null };
}

const EMPTY = { device: null, label: null, labelSequence: 0, seq: null } as const;

function checkFit(newest: Superblock, slot: number, examination: Examination): void {
  const { device, blockBytes, blockCount } = examination;
  const refuse = (why: string): never => {
    throw new BandstandError('BANDSTAND_MEMBER_MISMATCH', {
      message: `cannot assemble ${newest.name}: ${device} (slot ${slot}) ${why}`,
      details: { array: newest.name, device, slot },
    });
  };
  if (blockBytes !== newest.blockBytes) {
    refuse(`has ${blockBytes}-byte blocks, the array has ${newest.blockBytes}-byte blocks`);
  }
  const { dataOffset, dataSize } = newest.members[slot]!;
  if (blockCount < dataOffset + dataSize) {
    refuse(`has ${blockCount} blocks, the array uses ${dataOffset + dataSize} of it`);
  }
}

function checkMissing(
  newest: Superblock,
  slots: readonly AssembledSlot[],
  options: AssembleOptions,
  unused: readonly { readonly device: string; readonly reason: string }[],
): void {
  const missing = slots.filter(({ device }) => device === null);
  if (missing.length === 0) return;
  const level = levelRules(newest.level);
  const list = missing
    .map(({ slot, uuid, reason }) => `slot ${slot} (${uuid}): ${reason}`)
    .join('; ');
  const details = {
    array: newest.name,
    uuid: newest.uuid,
    missing: missing.map(({ slot, uuid, reason }) => ({ slot, uuid, reason })),
    unused,
  };
  if (!survives(level, slots.length, missing.length)) {
    throw new BandstandError('BANDSTAND_ARRAY_FAILED', {
      message: `cannot assemble ${newest.name}: ${missing.length} of ${slots.length} members are missing and ${level.name} bears ${level.tolerates(slots.length)}: ${list}`,
      hint: 'give the devices that hold the missing members',
      details,
    });
  }
  if (options.degraded === true || missing.every(({ recorded }) => recorded)) return;
  throw new BandstandError('BANDSTAND_ARRAY_DEGRADED', {
    message: `cannot assemble ${newest.name}: ${missing.length} of ${slots.length} members ${missing.length === 1 ? 'is' : 'are'} missing: ${list}`,
    hint: 'give the missing devices, or add --degraded to start without them',
    details,
  });
}

function isClean(newest: Superblock, labels: readonly (Label | null)[]): boolean | null {
  if (labels.some((label) => label?.state === 'dirty')) return false;
  const told = labels.every((label) => label !== null && label.superblockSeq === newest.seq);
  return told ? true : null;
}

function replaced({ newest }: Find, { device }: Examination, reason: string): BandstandError {
  return new BandstandError('BANDSTAND_MEMBER_REPLACED', {
    message: `cannot assemble ${newest.name}: ${device} is no member any more: ${reason}`,
    hint: `leave out ${device}`,
    details: { array: newest.name, device },
  });
}

function duplicate({ newest }: Find, uuid: string, a: Examination, b: Examination): BandstandError {
  return new BandstandError('BANDSTAND_MEMBER_DUPLICATE', {
    message: `cannot assemble ${newest.name}: ${a.device} and ${b.device} both hold member ${uuid}`,
    hint: 'leave out the copy, or wipe it',
    details: { array: newest.name, member: uuid, devices: [a.device, b.device] },
  });
}

/** What RaidArray needs; `devices` are the used ones by name, open or not. */
export function assemblySpec(
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
): ArraySpec {
  const { superblock, slots } = assembly;
  return {
    name: superblock.name,
    uuid: superblock.uuid,
    level: superblock.level,
    blockBytes: superblock.blockBytes,
    stripBlocks: superblock.stripBlocks,
    blockCount: superblock.raidSize,
    members: slots.map(({ uuid, device, dataOffset, dataSize }) => {
      const found = device === null ? null : devices.get(device);
      assert(found !== undefined, 'a device that fills a slot is at hand');
      return { uuid, device: found, dataOffset, dataSize };
    }),
  };
}

/** The devices that fill no slot and that a running array can use: open them, too. */
export function otherDevices({ target, returning, spares }: Assembly): string[] {
  const others = [...returning, ...spares].map(({ device }) => device);
  return target === null ? others : [target.device, ...others];
}
