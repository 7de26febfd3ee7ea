/**
 * The value of --raid: our level names, and SPDK's spellings of them.               (control plane)
 */

import { orList, usageError } from './arguments.ts';

export const LEVEL_NAMES = ['raid0', 'raid1', 'raid5f', 'concat'] as const;
export type LevelWord = (typeof LEVEL_NAMES)[number];

/** Throws BANDSTAND_USAGE. */
export function parseLevelOrRefuse(text: string | null): LevelWord {
  const hint = `choose ${orList(LEVEL_NAMES)}`;
  if (text === null) throw usageError('cannot create: --raid is missing', hint);
  const lower = text.toLowerCase();
  const found = LEVEL_NAMES.find((name) => name === lower || name === `raid${lower}`);
  if (found === undefined)
    throw usageError(`cannot use --raid '${text}': there is no such level`, hint);
  return found;
}
