/**
 * Errors on their way to another thread or process.                                 (control plane)
 */

import type { WireError } from '../control/schema.ts';
import { asBandstandError } from './own-errors.ts';

/** Details may hold anything; what is not plain JSON data is left out. */
export function errorToWire(error: unknown): WireError {
  const { code, message, hint, details } = asBandstandError(error);
  return {
    code,
    message,
    hint,
    details: JSON.parse(JSON.stringify(details)) as Record<string, unknown>,
  };
}
