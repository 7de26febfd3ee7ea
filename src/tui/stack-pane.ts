/**
 * The stack: reason and action first, exports, then FTL, cache, array and members. (user interface)
 */

import type { MonitorState } from './monitor-state.ts';
import { chosenRow } from './moves.ts';
import type { Paint, PaneText } from './pane-text.ts';
import { type Line, lineOf, type Span, spaced, span } from './spans.ts';
import { cutStart, padEnd, textWidth, wrapWords } from './text-width.ts';
import type { StackView, TreeRow } from './view.ts';

const ALERT_ROWS_MAX = 2;

export function stackPane(state: MonitorState, view: StackView, paint: Paint): PaneText {
  const chosen = state.pane === 'stack' ? chosenRow(state)?.key : undefined;
  const { labels, devices } = widths(view.rows, paint.columns);
  const rows = view.rows.map((row) =>
    rowLine(row, row.key !== null && row.key === chosen, labels, devices, paint),
  );
  const at = view.rows.findIndex(({ key }) => key !== null && key === chosen);
  return {
    title: lineOf('stack'),
    fixed: [...silenceLines(state, paint), ...alertLines(view, paint), exportLine(view)],
    rows,
    at: Math.max(0, at),
  };
}

/** Why what is shown may not be true any more. */
export function silenceLines({ silence }: MonitorState, { columns, glyphs }: Paint): Line[] {
  return alert(silence?.why ?? null, '! ', 'bad', columns, glyphs.ellipsis);
}

/** Why it is not well, and what to do: two rows each at most. */
export function alertLines(view: StackView, { columns, glyphs }: Paint): Line[] {
  const { action, healthTone, reason } = view;
  return [
    ...alert(reason, '! ', healthTone === 'good' ? 'warn' : healthTone, columns, glyphs.ellipsis),
    ...alert(action, `${glyphs.pointer} `, 'strong', columns, glyphs.ellipsis),
  ];
}

function alert(
  text: string | null,
  sign: string,
  tone: Span['tone'],
  columns: number,
  ellipsis: string,
): Line[] {
  if (text === null) return [];
  const indent = ' '.repeat(textWidth(sign));
  const lines = wrapWords(text, columns - textWidth(sign));
  const shown = lines.slice(0, ALERT_ROWS_MAX);
  if (lines.length > shown.length) shown[shown.length - 1] += ` ${ellipsis}`;
  return shown.map((line, index) => lineOf(span((index === 0 ? sign : indent) + line, tone)));
}

function exportLine({ exports, isRunning, size }: StackView): Line {
  const words = exports.length > 0 ? exports : [isRunning ? 'not exported' : 'not running'];
  return spaced(size, ...words);
}

interface Widths {
  readonly labels: number;
  readonly devices: number;
}

/** Columns that do not jump: as wide as their widest cell, the devices with a limit. */
function widths(rows: readonly TreeRow[], columns: number): Widths {
  const members = rows.filter(({ member }) => member !== null);
  const labels = Math.max(0, ...members.map(({ label }) => textWidth(label)));
  const wanted = Math.max(0, ...members.map(({ device }) => textWidth(device ?? '')));
  return { labels, devices: Math.min(wanted, Math.max(12, Math.floor(columns * 0.45))) };
}

const HEALTH_COLUMNS = 'rebuilding'.length;

function rowLine(
  row: TreeRow,
  isChosen: boolean,
  labels: number,
  devices: number,
  { columns, glyphs }: Paint,
): Line {
  const sign = isChosen ? `${glyphs.pointer} ` : '  ';
  const branch = row.isLast ? glyphs.last : glyphs.branch;
  const head = span(`${sign}${'  '.repeat(row.depth)}${branch}`, isChosen ? 'strong' : 'dim');
  const notes = span(row.notes.join(', '), row.tone === 'good' ? 'plain' : row.tone);
  if (row.member === null) {
    const device = cutStart(row.device ?? '', Math.floor(columns / 3), glyphs.ellipsis);
    const health = row.health === null ? null : span(row.health, row.tone);
    return [head, ...spaced(span(row.label, 'strong'), device, health, notes)];
  }
  const device = padEnd(cutStart(row.device ?? '-', devices, glyphs.ellipsis), devices);
  const name = span(`${padEnd(row.label, labels)}  ${device}`, isChosen ? 'chosen' : 'plain');
  const health = span(padEnd(row.health ?? '', HEALTH_COLUMNS), row.tone);
  return [head, ...spaced(name, health, notes)];
}
