/**
 * What a pane has to show, and how much of it fits.                                (user interface)
 */

import type { Glyphs } from './glyphs.ts';
import { fitLine, type Line, lineOf, span } from './spans.ts';

export interface Paint {
  readonly glyphs: Glyphs;
  /** Columns of a line. */
  readonly columns: number;
}

export interface PaneText {
  readonly title: Line;
  /** Lines that stay where they are. */
  readonly fixed: readonly Line[];
  /** Lines below them, and the one that has to be seen. */
  readonly rows: readonly Line[];
  readonly at: number;
  /** What to show instead where the fixed lines have no room; what matters most first. */
  readonly brief?: readonly Line[];
}

/** Exactly so many lines, each exactly so wide. */
export function paneLines(text: PaneText, rows: number, { columns, glyphs }: Paint): Line[] {
  if (text.brief !== undefined && rows < text.fixed.length) {
    return fitted([...text.brief, ...text.rows], rows, columns, glyphs);
  }
  // One row at least is for what moves.
  const fixedRows = Math.min(text.fixed.length, text.rows.length === 0 ? rows : rows - 1);
  const room = rows - Math.max(0, fixedRows);
  const fixed = text.fixed.slice(0, Math.max(0, fixedRows));
  return fitted([...fixed, ...windowOf(text.rows, text.at, room)], rows, columns, glyphs);
}

function fitted(lines: readonly Line[], rows: number, columns: number, glyphs: Glyphs): Line[] {
  return Array.from({ length: rows }, (_, row) =>
    fitLine(lines[row] ?? [], columns, glyphs.ellipsis),
  );
}

/** So many rows with row `at` among them; a row at its end tells how many are below. */
function windowOf(rows: readonly Line[], at: number, room: number): Line[] {
  if (rows.length <= room) return [...rows];
  if (room < 1) return [];
  const from = Math.max(0, Math.min(at - room + 2, rows.length - room));
  const shown = rows.slice(from, from + room);
  const below = rows.length - from - room;
  if (below > 0 && room > 1) {
    shown[room - 1] = lineOf(span(`  ${below + 1} more`, 'dim'));
  }
  return shown;
}
