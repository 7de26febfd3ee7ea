/**
 * Which member a person means: every spelling that we print is understood.          (control plane)
 *
 * A slot number (`cache:0` in the mirror under the NV cache), a UUID or at least eight digits of
 * its beginning, a path, a name in /dev, the last part of a path, or any other name of the same
 * device (a by-id link), which its identity tells.
 * The spellings are tried in that order of strength: what names one device exactly is not made
 * ambiguous by another one that merely begins alike. More than one match is an error that lists
 * them.
 */

import { basename } from 'node:path';
import { BandstandError } from '../block/errors.ts';
import type { MemberReference } from '../control/schema-members.ts';

export interface MemberCandidate {
  /** `cache:` for the mirror under the NV cache, otherwise empty: goes in front of the slot. */
  readonly slotPrefix: string;
  /** Null for a spare. */
  readonly slot: number | null;
  readonly uuid: string | null;
  readonly device: string | null;
  readonly health: 'ok' | 'rebuilding' | 'failed' | 'missing' | 'spare';
  /**
   * The slot belongs to another device, too: this is the one that is being filled in place of a
   * member in service, or the one that has failed while its slot is being rebuilt.
   */
  readonly beside?: 'target' | 'gone';
}

const PREFIX_DIGITS_MIN = 8;

/** Throws BANDSTAND_MEMBER_NOT_FOUND or BANDSTAND_MEMBER_AMBIGUOUS. */
export function resolveMember<Candidate extends MemberCandidate>(
  what: { readonly verb: string; readonly name: string },
  reference: MemberReference,
  candidates: readonly Candidate[],
  keyOf: (device: string) => string | null,
): Candidate {
  const { member: word, member_path: path, member_key: key } = reference;
  const tests: readonly ((candidate: Candidate) => boolean)[] = [
    ({ slot, slotPrefix, beside }) =>
      slot !== null && beside === undefined && word === `${slotPrefix}${slot}`,
    ({ uuid }) => uuid !== null && uuid === word.toLowerCase(),
    ({ device }) => device !== null && [word, path, `/dev/${word}`].some((name) => name === device),
    ({ device }) => device !== null && key !== null && keyOf(device) === key,
    ({ device }) => device !== null && basename(device) === word,
    ({ uuid }) => uuid !== null && isPrefix(word, uuid),
  ];
  for (const test of tests) {
    const found = candidates.filter(test);
    if (found.length === 1) return found[0]!;
    if (found.length > 1) throw ambiguous(what, word, found);
  }
  throw notFound(what, word, candidates);
}

/** Eight digits or more, with dashes where a UUID has them or without. */
function isPrefix(word: string, uuid: string): boolean {
  const text = word.toLowerCase();
  const digits = text.replaceAll('-', '');
  if (digits.length < PREFIX_DIGITS_MIN || !/^[0-9a-f]+$/.test(digits)) return false;
  return uuid.startsWith(text) || uuid.replaceAll('-', '').startsWith(text);
}

/** `slot 2, /dev/nvme2n1`; `spare /dev/nvme5n1`. */
export function describeMember({
  slot,
  slotPrefix,
  device,
  uuid,
  beside,
}: MemberCandidate): string {
  const how = beside === undefined ? '' : { target: 'copy of ', gone: 'failed in ' }[beside];
  const place = slot === null ? 'spare' : `${how}slot ${slotPrefix}${slot},`;
  return `${place} ${device ?? (uuid === null ? 'empty' : `${uuid} (not here)`)}`;
}

function ambiguous(
  { verb, name }: { readonly verb: string; readonly name: string },
  word: string,
  found: readonly MemberCandidate[],
): BandstandError {
  return new BandstandError('BANDSTAND_MEMBER_AMBIGUOUS', {
    message: `cannot ${verb} '${word}': ${found.length} members of ${name} are called so: ${found.map(describeMember).join('; ')}`,
    hint: 'name its slot or its whole path',
    details: { name, member: word, candidates: found.map(({ slot, device }) => device ?? slot) },
  });
}

function notFound(
  { verb, name }: { readonly verb: string; readonly name: string },
  word: string,
  candidates: readonly MemberCandidate[],
): BandstandError {
  return new BandstandError('BANDSTAND_MEMBER_NOT_FOUND', {
    message: `cannot ${verb} '${word}': ${name} has no such member; it has ${candidates.map(describeMember).join('; ')}`,
    hint: `see them with bandstand status ${name}`,
    details: { name, member: word },
  });
}
