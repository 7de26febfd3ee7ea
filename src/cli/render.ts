/**
 * From a command's result to the bytes for stdout: envelope, records or text.       (control plane)
 */

import type { Arguments } from './arguments.ts';
import type { CommandResult } from './command.ts';
import { printable } from './table.ts';

/** The bytes for stdout: envelope, records or text. */
export function render(result: CommandResult, args: Arguments): string {
  if (args.flag('json')) return envelope(result.schema, result.data);
  if (args.flag('plain')) {
    return result
      .plain()
      .map((fields) => `${fields.map(plainField).join('\t')}\n`)
      .join('');
  }
  const text = result.text();
  return text === '' ? '' : `${text}\n`;
}

export function envelope(schema: string, data: unknown): string {
  return `${JSON.stringify({ schema, generated_at: new Date().toISOString(), data })}\n`;
}

function plainField(value: string | number | null): string {
  return value === null ? '-' : typeof value === 'number' ? String(value) : printable(value);
}
