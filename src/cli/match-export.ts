/**
 * Which export of a running stack is the one that a request asks for.               (control plane)
 *
 * A stack has one ublk device at most, and one NBD server at each address. A request that names
 * neither a way nor an address is content with any export of its mode, so that asking twice gives
 * the same answer twice.
 */

import type { ExportRequest, ExportStatus } from '../control/schema.ts';

export interface KnownExport {
  readonly status: ExportStatus;
  /** Where it listens, as requests write it; null for a ublk device. */
  readonly listen: string | null;
}

export type Match<T extends KnownExport> =
  | { readonly kind: 'found'; readonly found: T }
  /** It is to be made. */
  | { readonly kind: 'none' }
  /** What is there is where the new one would have to be, and of another mode. */
  | { readonly kind: 'other'; readonly found: T };

export function matchExport<T extends KnownExport>(
  exports: readonly T[],
  request: ExportRequest,
): Match<T> {
  const candidates = exports.filter((one) => isAskedFor(one, request));
  const found = candidates.find((one) => hasMode(one.status, request));
  if (found !== undefined) return { kind: 'found', found };
  const [other] = candidates;
  return other === undefined ? { kind: 'none' } : { kind: 'other', found: other };
}

function isAskedFor({ status, listen }: KnownExport, request: ExportRequest): boolean {
  if (request.nbd !== null) return listen === request.nbd;
  return request.via === 'auto' || request.via === status.kind;
}

function hasMode(status: ExportStatus, request: ExportRequest): boolean {
  if (status.read_only !== request.read_only) return false;
  if (request.tls !== null && !status.address.startsWith('nbds')) return false;
  const { ublk_id: id } = request;
  return id === null || status.kind !== 'ublk' || status.address === `/dev/ublkb${id}`;
}

/** Whether it may be answered with a ublk device. */
export function wantsUblk({ via, nbd }: Pick<ExportRequest, 'via' | 'nbd'>): boolean {
  return via !== 'nbd' && nbd === null;
}
