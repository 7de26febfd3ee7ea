/**
 * findArray: the array that a set of examined devices is about.                     (control plane)
 *
 * The first half of assembly: sort out what carries no usable superblock, choose the array, and
 * find its newest superblock. Which device is which member comes after (identify.ts).
 */

import { BandstandError } from '../block/errors.ts';
import type { Examination } from './examine.ts';
import { ownLabel } from './own-label.ts';
import { encodeSuperblock, type Superblock } from './superblock.ts';
import { vouchedFor } from './torn-superblock.ts';

export interface FindOptions {
  readonly uuid?: string;
  readonly name?: string;
  readonly degraded?: boolean;
  readonly scan?: boolean;
}

export interface Find {
  readonly newest: Superblock;
  /** The devices that carry a superblock of the array, of any age, in the order given. */
  readonly members: readonly Examination[];
  /** Those among them whose superblock was torn and has to be written again. */
  readonly torn: ReadonlySet<Examination>;
  /** All devices in the order given. */
  readonly given: readonly Examination[];
  /** Those without a superblock that have a label, of whichever array; all in `unused`, too. */
  readonly labelled: readonly Examination[];
  readonly unused: readonly { readonly device: string; readonly reason: string }[];
}

export function findArray(examinations: readonly Examination[], options: FindOptions): Find {
  const wanted = options.name ?? options.uuid ?? 'an array';
  const unused: { device: string; reason: string }[] = [];
  const candidates: Examination[] = [];
  const labelled: Examination[] = [];
  const damaged: Examination[] = [];
  for (const examination of examinations) {
    const { device, superblock } = examination;
    if (superblock.state === 'damaged') {
      damaged.push(examination);
    } else if (superblock.value === null) {
      unused.push({ device, reason: withoutSuperblock(examination) });
      if (examination.label !== null) labelled.push(examination);
    } else if (isWanted(superblock.value, options)) {
      candidates.push(examination);
    } else {
      const { name, uuid } = superblock.value;
      unused.push({ device, reason: `it belongs to the array ${name} (${uuid})` });
    }
  }
  const lenient = options.degraded === true || options.scan === true;
  if (candidates.length === 0) {
    if (damaged.length > 0 && !lenient) throw damaged[0]!.superblock.error!;
    for (const { device, superblock } of damaged) {
      unused.push({ device, reason: superblock.error!.message });
    }
    throw notFound(wanted, examinations, unused);
  }
  checkUnambiguous(candidates, options, wanted);
  const newest = newestSuperblock(candidates);
  const torn = new Set<Examination>();
  for (const one of damaged) {
    const vouched = vouchedFor(one, newest);
    if (vouched === null) {
      if (!lenient) throw one.superblock.error!;
      unused.push({ device: one.device, reason: one.superblock.error!.message });
    } else {
      torn.add(vouched);
      candidates.push(vouched);
    }
  }
  return { newest, members: candidates, torn, given: examinations, labelled, unused };
}

function isWanted({ uuid, name }: Superblock, options: FindOptions): boolean {
  if (options.uuid !== undefined && options.uuid.toLowerCase() !== uuid) return false;
  return options.name === undefined || options.name === name;
}

function withoutSuperblock({ label }: Examination): string {
  if (label === null) return 'it has no superblock';
  if (label.role === 'spare') return `it is a spare of the array ${label.arrayUuid}`;
  if (label.role === 'target') {
    return `it was to be rebuilt into slot ${label.slot} of the array ${label.arrayUuid} and has no superblock yet`;
  }
  return label.state === 'creating'
    ? `it has no superblock: creating the array ${label.arrayUuid} was interrupted`
    : `it has a label of the array ${label.arrayUuid}, slot ${label.slot}, but no superblock`;
}

function notFound(
  wanted: string,
  examinations: readonly Examination[],
  unused: readonly { readonly device: string; readonly reason: string }[],
): BandstandError {
  const why =
    examinations.length === 0
      ? 'no device was given'
      : unused.map(({ device, reason }) => `${device}: ${reason}`).join('; ');
  return new BandstandError('BANDSTAND_ARRAY_NOT_FOUND', {
    message: `cannot assemble ${wanted}: no superblock of it was found: ${why}`,
    hint: 'run `bandstand examine` on its members',
    details: { wanted, devices: examinations.map(({ device }) => device) },
  });
}

function checkUnambiguous(
  candidates: readonly Examination[],
  options: FindOptions,
  wanted: string,
): void {
  const byUuid = new Map<string, { name: string; devices: string[] }>();
  for (const { device, superblock } of candidates) {
    const { name, uuid } = superblock.value!;
    const known = byUuid.get(uuid);
    if (known === undefined) byUuid.set(uuid, { name, devices: [device] });
    else known.devices.push(device);
  }
  if (byUuid.size === 1) return;
  const list = [...byUuid].map(
    ([uuid, { name, devices }]) => `${name} (${uuid}) on ${devices.join(', ')}`,
  );
  const why =
    options.name === undefined
      ? 'the devices belong to different arrays'
      : `different arrays have the name ${options.name}`;
  throw new BandstandError('BANDSTAND_ARRAY_AMBIGUOUS', {
    message: `cannot assemble ${wanted}: ${why}: ${list.join('; ')}`,
    hint: 'give the devices of one array only, or its UUID',
    details: { arrays: [...byUuid].map(([uuid, rest]) => ({ uuid, ...rest })) },
  });
}

/**
 * The superblock with the highest sequence. Two of one sequence that differ are refused, unless
 * only one of them has been in use: power failed while the other was being written, and the array
 * was started again without the device that had it.
 */
function newestSuperblock(candidates: readonly Examination[]): Superblock {
  const seq = Math.max(...candidates.map(({ superblock }) => superblock.value!.seq));
  const newest = candidates.filter(({ superblock }) => superblock.value!.seq === seq);
  const best = newest.find(wasInUse) ?? newest[0]!;
  const superblock = best.superblock.value!;
  for (const other of newest) {
    const differs = !isSameSuperblock(superblock, other.superblock.value!);
    if (differs && !(wasInUse(best) && wasNeverInUse(other))) throw conflict(best, other);
  }
  return superblock;
}

/** A label goes with the superblock: labels are marked when all members have it. */
function wasInUse(one: Examination): boolean {
  return (markedSeq(one) ?? 0) >= one.superblock.value!.seq;
}

function wasNeverInUse(one: Examination): boolean {
  const marked = markedSeq(one);
  return marked !== null && marked < one.superblock.value!.seq;
}

function markedSeq(one: Examination): number | null {
  return ownLabel(one, one.superblock.value!)?.superblockSeq ?? null;
}

export function isSameSuperblock(a: Superblock, b: Superblock): boolean {
  return a === b || Buffer.compare(encodeSuperblock(a), encodeSuperblock(b)) === 0;
}

function conflict(a: Examination, b: Examination): BandstandError {
  const { name, seq } = a.superblock.value!;
  return new BandstandError('BANDSTAND_ARRAY_CONFLICT', {
    message: `cannot assemble ${name}: the superblocks of ${a.device} and ${b.device} differ although both have sequence ${seq}`,
    hint: 'the two were changed apart from each other; leave out the one whose data is not wanted',
    details: { array: name, devices: [a.device, b.device], seq },
  });
}

/**
 * True when the newest superblock is the next one after `holder`'s and was never in use: a record
 * is on every member in service before anything is acknowledged under it, and labels are marked
 * after that. So when no label goes with it, power failed while it was being written.
 */
export function updateInterrupted({ newest, members }: Find, holder: Examination): boolean {
  const { seq } = holder.superblock.value!;
  if (newest.seq !== seq + 1) return false;
  return members.every((member) => {
    const marked = ownLabel(member, newest)?.superblockSeq ?? 0;
    return marked > 0 && marked <= seq;
  });
}

/** Refuses an array whose creation was interrupted: only labels in state "creating". */
export function checkComplete({ newest }: Find, holders: Iterable<Examination>): void {
  let creating = false;
  for (const { label } of holders) {
    if (label === null || label.arrayUuid !== newest.uuid) continue;
    if (label.state !== 'creating') return;
    creating = true;
  }
  if (!creating) return;
  throw new BandstandError('BANDSTAND_ARRAY_INCOMPLETE', {
    message: `cannot assemble ${newest.name}: creating it was interrupted`,
    hint: 'wipe its members and create it again; it holds no data yet',
    details: { array: newest.name, uuid: newest.uuid },
  });
}
