/**
 * Screens for terminals that have no room for panes.                               (user interface)
 *
 * The summary says all that matters in lines without borders; below that, a few lines say whether
 * the data is safe, and what room more would take. They are drawn from the top, so that what is cut
 * off is what matters least.
 */

import { formatLatency, formatSize } from '../block/quantities.ts';
import { progressLines } from './activity-pane.ts';
import { activitySpans, slotsLine } from './head-line.ts';
import { SUMMARY_LEAST } from './layout.ts';
import { type MonitorState, nameOf } from './monitor-state.ts';
import { shownEvents } from './moves.ts';
import type { Paint } from './pane-text.ts';
import { recoveryView } from './recovery-view.ts';
import { ioView } from './samples.ts';
import { fitLine, type Line, lineOf, spaced, span } from './spans.ts';
import { alertLines, silenceLines } from './stack-pane.ts';
import { percentText, type StackView } from './view.ts';

/** Below the line of the head: at most so many lines. */
export function summaryLines(
  state: MonitorState,
  view: StackView,
  rows: number,
  paint: Paint,
): Line[] {
  const { columns, glyphs } = paint;
  const lines: Line[] = [...silenceLines(state, paint), ...alertLines(view, paint)];
  const recovery = state.look === null ? null : recoveryView(state.look.status);
  const [first] = view.activities;
  const progress = recovery?.progress ?? first;
  if (progress !== undefined) {
    lines.push(lineOf(span(recovery?.title ?? progress.title, 'strong')));
    lines.push(...progressLines(progress, paint));
  }
  if (recovery !== null) {
    lines.push(lineOf(span(`data loss: ${recovery.loss}`, recovery.isLossy ? 'bad' : 'plain')));
  }
  lines.push(ioLine(state));
  const bad = view.rows.filter(({ tone }) => tone === 'bad' || tone === 'warn' || tone === 'busy');
  for (const { device, health, label, notes, tone } of bad) {
    lines.push(spaced(span(label), device, span(health ?? '', tone), notes.join(', ')));
  }
  const events = shownEvents(state);
  const room = Math.max(0, rows - lines.length);
  for (const { message, time } of events.slice(Math.max(0, events.length - room))) {
    lines.push(lineOf(span(`${time.slice(11, 19)} `, 'dim'), message));
  }
  return lines.slice(0, rows).map((line) => fitLine(line, columns, glyphs.ellipsis));
}

function ioLine(state: MonitorState): Line {
  const { latency, readRate, writeRate } = ioView(state.samples);
  const rate = (value: number | null): string =>
    value === null ? '-' : `${formatSize(Math.round(value))}/s`;
  const p99 = latency === null ? null : `p99 ${formatLatency(latency.p99Us)}`;
  return spaced(`read ${rate(readRate)}`, `write ${rate(writeRate)}`, p99);
}

/** All there is room for. */
export function fewLines(state: MonitorState, view: StackView | null, paint: Paint): Line[] {
  const { columns: width, glyphs } = paint;
  const { columns, rows } = state;
  const name = span(nameOf(state), 'title');
  const least = `${SUMMARY_LEAST.columns}${glyphs.times}${SUMMARY_LEAST.rows}`;
  const size = lineOf(span(`${columns}${glyphs.times}${rows}: more from ${least}`, 'dim'));
  const lines: Line[] = [];
  if (view === null) {
    lines.push(spaced(name, span(state.silence?.why ?? 'looking', 'dim')));
  } else {
    const [activity] = view.activities;
    lines.push(spaced(name, span(view.health.toUpperCase(), view.healthTone)));
    if (state.silence !== null || state.goneSinceMs !== null) {
      lines.push(activitySpans(state, view));
    } else if (activity !== undefined) {
      const { eta, rate, share, title } = activity;
      lines.push(spaced(share === null ? null : percentText(share), span(title, 'busy')));
      lines.push(spaced(eta, rate));
    }
    if (view.reason !== null) lines.push(lineOf(span(view.reason, view.healthTone)));
    if (view.slots !== null) lines.push(slotsLine(view.slots));
  }
  const shown = rows > 1 ? [...lines.slice(0, rows - 1), size] : lines.slice(0, 1);
  return shown.map((line) => fitLine(line, width, glyphs.ellipsis));
}
