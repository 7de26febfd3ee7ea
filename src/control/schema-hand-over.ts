/**
 * What a server says when it hands its stack over to another server.                (control plane)
 */

import { type Decoded, decodeExportRequest, type ExportRequest, isRecord } from './schema.ts';

export interface HandOverReply {
  /** How the next server has to export the stack; at least one. */
  readonly requests: readonly ExportRequest[];
  /** The stack was started for reading only. */
  readonly stack_read_only: boolean;
  /** What went wrong when the stack was closed; null: it was closed cleanly. */
  readonly failed: string | null;
}

export function decodeHandOverReply(value: unknown): Decoded<HandOverReply> {
  if (!isRecord(value)) return { why: 'the reply to hand-over is not an object' };
  const { stack_read_only, failed, requests: sent } = value;
  if (!Array.isArray(sent) || sent.length === 0) return { why: 'requests is not a list of some' };
  const requests: ExportRequest[] = [];
  for (const one of sent) {
    const request = decodeExportRequest(one);
    if ('why' in request) return request;
    requests.push(request.value);
  }
  if (typeof stack_read_only !== 'boolean') return { why: 'stack_read_only is missing' };
  if (failed !== null && typeof failed !== 'string') return { why: 'failed is not text' };
  return { value: { requests, stack_read_only, failed } };
}
