/**
 * Errors on their way to another thread or process.                                 (control plane)
 */

import { BandstandError } from '../block/errors.ts';
import type { WireError } from '../control/schema.ts';

/** Details may hold anything; what is not plain JSON data is left out. */
export function errorToWire(error: unknown): WireError {
  if (error instanceof BandstandError) {
    const details = JSON.parse(JSON.stringify(error.details)) as Record<string, unknown>;
    return { code: error.code, message: error.message, hint: error.hint, details };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'BANDSTAND_SERVER_FAILED',
    message: `the server met a defect of its own: ${message}`,
    hint: 'look at the log of the server',
    details: { stack: error instanceof Error ? (error.stack ?? null) : null },
  };
}
