/**
 * Errors that are not BandstandErrors, made into ones.                              (control plane)
 *
 * The loader of the addon stands below the error table and throws an error of its own; here it gets
 * its code. Anything else that arrives is a defect, and says so with its stack.
 */

import { BandstandError } from '../block/errors.ts';
import { AddonMissingError } from '../native/load.ts';

export function asBandstandError(error: unknown): BandstandError {
  if (error instanceof BandstandError) return error;
  if (error instanceof AddonMissingError) {
    return new BandstandError('BANDSTAND_ADDON_MISSING', {
      message: error.message,
      hint: `build it for this Node and machine: ${error.buildCommand}`,
      details: { path: error.path },
      cause: error,
    });
  }
  return new BandstandError('BANDSTAND_DEFECT', {
    message: `stopped by a defect of its own: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'report this with the command line that caused it',
    details: { stack: error instanceof Error ? (error.stack ?? null) : null },
    cause: error,
  });
}
