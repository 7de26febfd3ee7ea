/**
 * How an array of a stack is spoken of: its own, or the mirror under its NV cache.  (control plane)
 */

import type { ArrayAddress } from '../raid/array-address.ts';

export interface ArrayWords extends ArrayAddress {
  /** What has these members, in sentences. */
  readonly whole: string;
}

export function stackWords(name: string): ArrayWords {
  return { stack: name, whole: name, option: '', slotPrefix: '' };
}

export function mirrorWords(name: string): ArrayWords {
  return {
    stack: name,
    whole: `the NV cache of ${name}`,
    option: ' --cache',
    slotPrefix: MIRROR_SLOT_PREFIX,
  };
}

/** `cache:0` is slot 0 of the mirror under the NV cache. */
export const MIRROR_SLOT_PREFIX = 'cache:';
