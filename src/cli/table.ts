/**
 * Tables and aligned key lines for people.                                          (control plane)
 *
 * Columns are as wide as their widest cell, separated by two spaces; numbers are right-aligned on
 * request; nothing trails. Text that comes from outside (labels of foreign file systems, paths) is
 * made printable first, so that no escape sequence reaches a terminal.
 */

import { printable } from '../block/printable.ts';

export { printable };

export type Align = 'left' | 'right';

/** Lines of a table; the first row is the header where there is one. */
export function table(
  rows: readonly (readonly string[])[],
  options: { align?: readonly Align[]; indent?: string } = {},
): string[] {
  const cells = rows.map((row) => row.map(printable));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(0, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  return cells.map((row) => {
    const parts = row.map((cell, column) =>
      options.align?.[column] === 'right'
        ? cell.padStart(widths[column]!)
        : cell.padEnd(widths[column]!),
    );
    return `${options.indent ?? ''}${parts.join('  ')}`.trimEnd();
  });
}

/** `   stack: tank` lines, aligned on the colon; pairs with a null value are left out. */
export function keyLines(
  pairs: readonly (readonly [key: string, value: string | null])[],
): string[] {
  const shown = pairs.filter((pair) => pair[1] !== null);
  const width = Math.max(0, ...shown.map(([key]) => key.length));
  return shown.map(([key, value]) => `${key.padStart(width)}: ${printable(value!)}`);
}
