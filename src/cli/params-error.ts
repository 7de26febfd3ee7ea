/**
 * Params that a method of the control protocol cannot be called with.               (control plane)
 */

import { BandstandError } from '../block/errors.ts';

/** `what`: what cannot be done, `export tank`; `why`: in the words of a decoder. */
export function paramsError(what: string, why: string): BandstandError {
  return new BandstandError('BANDSTAND_CONTROL_PROTOCOL', {
    message: `cannot ${what}: ${why}`,
    hint: 'use the command of the same version as the server, or see bandstand-control(7)',
  });
}
