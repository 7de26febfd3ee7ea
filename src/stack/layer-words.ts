/**
 * What status says about a stack as a whole, and about its NV cache.               (control plane)
 *
 * A cache that fails while it can still be read is emptied, and the stack goes on without: slower,
 * and worth a look. What nobody has any more is said for as long as it is lost. One that has failed
 * with blocks that nobody else has takes the stack along: until it is back, or given up, nothing is
 * written, because a later start with it would show what it holds.
 */

import { formatCount } from '../block/quantities.ts';
import type { CacheStatusDocument, Health } from '../control/schema.ts';
import { ftlReason, ftlWords, type Words } from './ftl-words.ts';

export function cacheFailedWords(device: string, why: string): string {
  return `the NV cache ${device} is not used any more: ${why}`;
}

export function cacheFailedAction(name: string): string {
  return `let go of it, and attach another one: bandstand cache detach ${name}`;
}

/** `why` is what the cache says of itself. */
export function cacheLostWords(device: string, why: string): string {
  return `${ftlReason(why)} (${device})`;
}

export function cacheLostAction(name: string, device: string): string {
  return `see that ${device} is back and well (dmesg), then start it anew: bandstand stop ${name}, bandstand export ${name}; with --discard-cache it starts without what only the cache has`;
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
  const above = ftlWords(name, readOnly, words);
  // An FTL that has stopped by itself comes first.
  if (cache?.health === 'failed' && readOnly === null) return lostCacheWords(name, cache, above);
  return cacheWords(name, cache, above);
}

function lostCacheWords(name: string, cache: CacheStatusDocument, words: Words): Words {
  const reasons = [cacheLostWords(cache.device, cache.reason ?? 'its cache has failed')];
  if (cache.lost_blocks > 0) reasons.push(`${blocksOf(cache)} of it cannot be read`);
  if (words.reason !== null) reasons.push(words.reason);
  return {
    health: 'failed',
    reason: reasons.join('; '),
    action: cacheLostAction(name, cache.device),
  };
}

function blocksOf({ lost_blocks: count }: CacheStatusDocument): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
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
    const blocks = blocksOf(cache);
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
