/**
 * What a server says when exports are removed: the addresses that were there. (control plane)
 */

import { type Decoded, isRecord } from './schema.ts';

export interface UnexportReply {
  /** Something was there to be removed. */
  readonly removed: boolean;
  readonly addresses: readonly string[];
}

export function decodeUnexportReply(value: unknown): Decoded<UnexportReply> {
  if (!isRecord(value)) return { why: 'the reply to unexport is not an object' };
  const { removed, addresses } = value;
  if (typeof removed !== 'boolean') return { why: 'removed is missing' };
  if (!Array.isArray(addresses) || !addresses.every((one) => typeof one === 'string')) {
    return { why: 'addresses is not a list of texts' };
  }
  return { value: { removed, addresses } };
}
