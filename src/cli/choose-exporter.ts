/**
 * Chooses between ublk and NBD for `--via auto`, and says which and why.            (control plane)
 */

import { BandstandError } from '../block/errors.ts';
import type { ExportRequest } from '../control/schema.ts';
import { UblkProcess } from './ublk-process.ts';

export const UBLK_TIMEOUT_MS = 30_000;

export interface ExporterChoice {
  /** The opened helper when it is to be ublk (the caller closes it), null for NBD. */
  readonly helper: UblkProcess | null;
  readonly notes: readonly string[];
}

/**
 * `prepared`: a helper that was started before, for a request that may need one. Throws the reason
 * when ublk was asked for and cannot be had.
 */
export async function chooseExporter(
  request: ExportRequest,
  prepared: Promise<UblkProcess> | null,
): Promise<ExporterChoice> {
  if (request.via === 'nbd' || request.nbd !== null) return { helper: null, notes: [] };
  const opening = prepared ?? UblkProcess.open(UBLK_TIMEOUT_MS);
  if (request.via === 'ublk') return { helper: await opening, notes: [] };
  try {
    const helper = await opening;
    return { helper, notes: ['exported by ublk (the kernel has it)'] };
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    const unavailable = ['BANDSTAND_UBLK_UNAVAILABLE', 'BANDSTAND_UBLK_PERMISSION'];
    if (!unavailable.includes(error.code)) throw error;
    return { helper: null, notes: [`exported by NBD: ${error.message}`] };
  }
}
