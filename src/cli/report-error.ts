/**
 * Errors for people and programs: the one place that prints them.                   (control plane)
 *
 * Text: `bandstand: <message>` and the hint, indented, on the next line. With --json: one JSON line
 * on stderr. Anything that is not a BandstandError is a defect of ours and says so, with its stack.
 */

import { BandstandError } from '../block/errors.ts';
import { printable } from './table.ts';

export function exitStatusOf(error: unknown): number {
  return error instanceof BandstandError ? error.exitStatus : 1;
}

export function errorText(error: unknown): string {
  if (error instanceof BandstandError) {
    const first = `bandstand: ${printable(error.message)}\n`;
    return error.hint === null ? first : `${first}  ${printable(error.hint)}\n`;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `bandstand: stopped by a defect of its own: ${detail}\n  report this with the command line that caused it\n`;
}

export function errorJson(error: unknown): string {
  const body =
    error instanceof BandstandError
      ? {
          code: error.code,
          message: error.message,
          hint: error.hint,
          details: error.details,
        }
      : {
          code: 'BANDSTAND_DEFECT',
          message: `stopped by a defect of its own: ${error instanceof Error ? error.message : String(error)}`,
          hint: 'report this with the command line that caused it',
          details: { stack: error instanceof Error ? (error.stack ?? null) : null },
        };
  return `${JSON.stringify({ error: body })}\n`;
}
