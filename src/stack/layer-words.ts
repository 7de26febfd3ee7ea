/**
 * What status says about a stack as a whole, and about its NV cache.               (control plane)
 *
 * A cache that fails while it can still be read is emptied, and the stack goes on without: slower,
 * and worth a look. What nobody has any more is said for as long as it is lost.
 */

import { formatCount } from '../block/quantities.ts';
import type { CacheStatusDocument, Health } from '../control/schema.ts';
import { ftlWords, type Words } from './ftl-words.ts';

export function cacheFailedWords(device: string, why: string): string {
  return `the NV cache ${device} is not used any more: ${why}`;
}

export function cacheFailedAction(name: string): string {
  return `let go of it, and attach another one: bandstand cache detach ${name}`;
}

/** What to do about a stack whose array has no manager. */
export function stackAction(health: Health): string | null {
  if (health === 'failed') return 'stop it, and look at its members and the kernel log (dmesg)';
  if (health === 'degraded') return 'bring the member back; a further failure may lose data';
  return null;
}

export interface LayerWords {
  readonly cache: CacheStatusDocument | null;
  /** Of the array. */
  readonly words: Words;
  /** Why the FTL changes nothing any more; null: it does. */
  readonly readOnly: string | null;
}

/** The words of all layers of the stack. */
export function layerWords(name: string, { cache, words, readOnly }: LayerWords): Words {
  return cacheWords(name, cache, ftlWords(name, readOnly, words));
}

/** Without a cache, or with one that is well, the other words are all there is to say. */
function cacheWords(name: string, cache: CacheStatusDocument | null, words: Words): Words {
  if (cache === null) return words;
  const reasons: string[] = [];
  if (cache.health === 'degraded') reasons.push(`its NV cache is degraded: ${cache.reason}`);
  else if (cache.health === 'failing') {
    reasons.push(`the NV cache ${cache.device} is being emptied: ${cache.reason}`);
  } else if (cache.health === 'detached') {
    reasons.push(cacheFailedWords(cache.device, cache.reason ?? 'it is empty'));
  }
  if (cache.lost_blocks > 0) {
    const count = cache.lost_blocks;
    const blocks = `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
    reasons.push(`${blocks} could not be read from the NV cache and are lost until written again`);
  }
  if (reasons.length === 0) return words;
  if (words.reason !== null) reasons.unshift(words.reason);
  return {
    health: words.health === 'healthy' ? 'degraded' : words.health,
    reason: reasons.join('; '),
    action: words.action ?? (cache.health === 'degraded' ? cache.action : cacheFailedAction(name)),
  };
}
