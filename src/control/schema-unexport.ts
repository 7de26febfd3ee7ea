/**
 * A request to remove exports, and its answer: the addresses that were there.       (control plane)
 */

import { type Decoded, isRecord } from './schema.ts';

export interface UnexportRequest {
  /** As status tells it, or where an NBD server listens, as requests tell it; null: all exports. */
  readonly address: string | null;
}

export interface UnexportReply {
  /** Something was there to be removed. */
  readonly removed: boolean;
  readonly addresses: readonly string[];
}

export function decodeUnexportRequest(value: unknown): Decoded<UnexportRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { address = null } = value;
  // Anything else must not be taken for all of them.
  if (address !== null && typeof address !== 'string') return { why: 'address is not text' };
  return { value: { address } };
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
