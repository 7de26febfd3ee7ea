/**
 * Errors for people and programs: the one place that prints them.                   (control plane)
 *
 * Text: `bandstand: <message>` and the hint, indented, on the next line. With --json: one JSON line
 * on stderr. Anything that is not a BandstandError is a defect of ours and says so, with its stack.
 */

import type { BandstandError } from '../block/errors.ts';
import { asBandstandError } from '../stack/own-errors.ts';
import { printable } from './table.ts';

export function exitStatusOf(error: unknown): number {
  return asBandstandError(error).exitStatus;
}

export function errorText(error: unknown): string {
  const { message, hint, code, details } = asBandstandError(error);
  const lines = [`bandstand: ${printable(message)}`];
  if (hint !== null) lines.push(`  ${printable(hint)}`);
  if (code === 'BANDSTAND_DEFECT' && details['stack'] != null) lines.push(String(details['stack']));
  return `${lines.join('\n')}\n`;
}

export function errorJson(error: unknown): string {
  const { code, message, hint, details }: BandstandError = asBandstandError(error);
  return `${JSON.stringify({ error: { code, message, hint, details } })}\n`;
}
