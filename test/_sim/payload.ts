/**
 * Payloads that say what they are: every 512 bytes name their array block, their version and their
 * place in the block, so that a stale, torn, misplaced or mixed-up block explains itself.
 *
 *   word 0   0x5EED0000 | unit within the block
 *   word 1   array block
 *   word 2   version
 *   word 3 … 127   a hash of the three
 */

export const UNIT_BYTES = 512;
const UNIT_WORDS = UNIT_BYTES / 4;
const MAGIC = 0x5eed;

/** Results of `unitVersion` that are no version. */
export const ZEROES = 0;
export const GARBAGE = -1;

function hash(unit: number, block: number, version: number): number {
  let value = Math.imul(block ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(version, 0xc2b2ae35);
  value ^= Math.imul(unit + 1, 0x27d4eb2f);
  return (value ^ (value >>> 15)) >>> 0 || 1;
}

/** Fills one block at byte `at` (a multiple of 4). */
export function fillPayload(
  words: Uint32Array,
  at: number,
  blockBytes: number,
  block: number,
  version: number,
): void {
  for (let unit = 0; unit < blockBytes / UNIT_BYTES; unit += 1) {
    const first = at / 4 + unit * UNIT_WORDS;
    words.fill(hash(unit, block, version), first, first + UNIT_WORDS);
    words[first] = ((MAGIC << 16) | unit) >>> 0;
    words[first + 1] = block;
    words[first + 2] = version;
  }
}

/** The version that 512 bytes hold of their block, ZEROES, or GARBAGE when they hold neither. */
export function unitVersion(words: Uint32Array, at: number, unit: number, block: number): number {
  const first = at / 4 + unit * UNIT_WORDS;
  if (words[first] === 0) {
    for (let index = first; index < first + UNIT_WORDS; index += 1) {
      if (words[index] !== 0) return GARBAGE;
    }
    return ZEROES;
  }
  const version = words[first + 2]!;
  const word = hash(unit, block, version);
  if (words[first] !== ((MAGIC << 16) | unit) >>> 0 || words[first + 1] !== block) return GARBAGE;
  for (let index = first + 3; index < first + UNIT_WORDS; index += 1) {
    if (words[index] !== word) return GARBAGE;
  }
  return version;
}

/** For messages: what 512 bytes are, wherever they belong. */
export function describeUnit(words: Uint32Array, at: number, unit: number): string {
  const first = at / 4 + unit * UNIT_WORDS;
  const [magic, block, version] = [words[first]!, words[first + 1]!, words[first + 2]!];
  if (magic >>> 16 === MAGIC) return `version ${version} of block ${block}, unit ${magic & 0xffff}`;
  return `0x${[...words.subarray(first, first + 4)].map((word) => word.toString(16)).join(' 0x')}`;
}
