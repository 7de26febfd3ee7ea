/**
 * Which panes a terminal of a size has room for, and how many rows each gets.      (user interface)
 *
 *   row 0       the line that says whether the data is safe
 *   rows 1 …    panes, one below the other: a border with a title, then lines
 *   row n - 2   the last border
 *   row n - 1   keys, or what was just done
 *
 * A pane says how many lines it needs at least and can use. Where there is no room for all of them,
 * those of the highest rank are left out; what is over goes to the last pane.
 */

import type { PaneName } from './monitor-state.ts';

/** Below this there is one summary without panes. */
export const PANES_LEAST = { columns: 60, rows: 14 } as const;
/** Below this there are a few lines. */
export const SUMMARY_LEAST = { columns: 40, rows: 8 } as const;

const BORDER_ROWS = 1;
const FRAME_ROWS = 3;

export interface PaneWish {
  readonly name: PaneName;
  /** Lines without the title; a pane that has less is left out. */
  readonly least: number;
  readonly most: number;
  /** 0 is the last to be left out. */
  readonly rank: number;
}

export interface PaneRows {
  readonly name: PaneName;
  readonly rows: number;
}

export type Layout =
  | { readonly kind: 'lines' }
  | { readonly kind: 'summary' }
  | { readonly kind: 'panes'; readonly panes: readonly PaneRows[] };

export interface LayoutOptions {
  /** In the order in which they are drawn. */
  readonly wishes: readonly PaneWish[];
  /** It has all the room for itself. */
  readonly alone: PaneName | null;
}

export function layoutOf(columns: number, rows: number, { alone, wishes }: LayoutOptions): Layout {
  if (columns < SUMMARY_LEAST.columns || rows < SUMMARY_LEAST.rows) return { kind: 'lines' };
  if (columns < PANES_LEAST.columns || rows < PANES_LEAST.rows) return { kind: 'summary' };
  const room = rows - FRAME_ROWS;
  if (alone !== null) return { kind: 'panes', panes: [{ name: alone, rows: room - BORDER_ROWS }] };
  return { kind: 'panes', panes: share(wishes, room) };
}

function share(wishes: readonly PaneWish[], room: number): PaneRows[] {
  const byRank = [...wishes].sort((a, b) => a.rank - b.rank);
  const rows = new Map<PaneName, number>();
  let left = room;
  for (const { least, name } of byRank) {
    if (least + BORDER_ROWS > left) continue;
    rows.set(name, least);
    left -= least + BORDER_ROWS;
  }
  for (const { most, name } of byRank) {
    const has = rows.get(name);
    if (has === undefined) continue;
    const more = Math.min(left, Math.max(0, most - has));
    rows.set(name, has + more);
    left -= more;
  }
  const shown = wishes.filter(({ name }) => rows.has(name));
  const last = shown.at(-1);
  if (last !== undefined) rows.set(last.name, rows.get(last.name)! + left);
  return shown.map(({ name }) => ({ name, rows: rows.get(name)! }));
}
