/**
 * What goes on: bars of rebuild, resync and check, or the steps of a recovery.     (user interface)
 */

import { formatSize } from '../block/quantities.ts';
import { barText } from './glyphs.ts';
import type { Paint, PaneText } from './pane-text.ts';
import type { RecoveryView, StepView } from './recovery-view.ts';
import { type Line, lineOf, spaced, span, type Tone } from './spans.ts';
import { padEnd, padStart } from './text-width.ts';
import { type ActivityView, percentText, type StackView } from './view.ts';

const PERCENT_COLUMNS = ' 100.0 %'.length;

export function activityPane(
  view: StackView,
  recovery: RecoveryView | null,
  paint: Paint,
): PaneText {
  if (recovery !== null) return recoveryPane(view, recovery, paint);
  const [first, ...others] = view.activities;
  if (first === undefined) {
    return { title: lineOf('activity'), fixed: [lineOf('idle')], rows: [], at: 0 };
  }
  return {
    title: lineOf(first.title),
    fixed: [
      ...progressLines(first, paint),
      ...others.flatMap((one) => [lineOf(span(one.title, 'strong')), ...progressLines(one, paint)]),
    ],
    rows: [],
    at: 0,
  };
}

/** A bar, and what is known of it in numbers. */
export function progressLines(activity: ActivityView, { columns, glyphs }: Paint): Line[] {
  const { doneBytes, eta, findings, limit, rate, share, totalBytes } = activity;
  const lines: Line[] = [];
  if (share !== null) {
    const bar = barText(share, columns - PERCENT_COLUMNS, glyphs);
    const tone: Tone = activity.isWaiting ? 'warn' : 'busy';
    lines.push([span(bar, tone), span(padStart(percentText(share), PERCENT_COLUMNS), 'strong')]);
  }
  const sizes = `${formatSize(doneBytes ?? 0)} of ${formatSize(totalBytes ?? 0)}`;
  const amount = totalBytes === null || doneBytes === null ? null : sizes;
  lines.push(
    spaced(
      amount,
      rate === null ? null : `${rate} over 60 s`,
      eta === null ? null : span(eta, activity.isWaiting ? 'warn' : 'strong'),
      canBeLimited(activity) ? `limit ${limit}` : null,
      ...findings.map((finding) => span(finding, 'warn')),
    ),
  );
  return lines;
}

function canBeLimited({ kind }: ActivityView): boolean {
  return kind === 'rebuild' || kind === 'resync' || kind === 'check';
}

// --- recovery -----------------------------------------------------------------------------------

function recoveryPane(view: StackView, recovery: RecoveryView, paint: Paint): PaneText {
  const { isLossy, isOnline, loss, progress, ranges, steps, title } = recovery;
  const bars = progressLines(progress, paint);
  const lossLine = lineOf(span('data loss  ', 'dim'), span(loss, isLossy ? 'bad' : 'plain'));
  const others = view.activities.filter(({ kind }) => kind !== 'recovery');
  const also = others.map((one) =>
    spaced(span(one.title, 'strong'), one.share === null ? null : percentText(one.share), one.eta),
  );
  const usable = isOnline ? 'the stack is in use meanwhile' : 'not usable before it has started';
  return {
    title: spaced(`recovery: ${title}`, usable),
    fixed: [
      ...steps.flatMap((step) => [stepLine(step, paint), ...(step.state === 'now' ? bars : [])]),
      lossLine,
    ],
    rows: [...ranges.map((range) => lineOf(range)), ...also],
    at: 0,
    brief: [
      ...bars,
      lossLine,
      ...steps.filter(({ state }) => state === 'now').map((step) => stepLine(step, paint)),
    ],
  };
}

function stepLine({ state, step, words }: StepView, { glyphs }: Paint): Line {
  const sign = { done: glyphs.done, now: glyphs.pointer, next: glyphs.next }[state];
  const tone: Tone = state === 'now' ? 'strong' : state === 'next' ? 'dim' : 'plain';
  return lineOf(span(`${sign} ${padEnd(step, 'recover'.length)}  ${words}`, tone));
}
