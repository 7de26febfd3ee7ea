/**
 * The first and the last line: is the data safe, and what can be done here.        (user interface)
 */

import type { Glyphs } from './glyphs.ts';
import { KEYS } from './keys.ts';
import { type MonitorState, nameOf } from './monitor-state.ts';
import { fitLine, type Line, lineOf, lineWidth, type Span, spaced, span, spread } from './spans.ts';
import { percentText, type StackView } from './view.ts';

/** `09:41:07`, in UTC as in the log. */
export function clockText(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

/** `[3/4 UU_U]`: how many are in service, and which. */
export function slotsLine(slots: string): Line {
  const inService = [...slots].filter((letter) => letter === 'U').length;
  return lineOf(`[${inService}/${slots.length} ${slots}]`);
}

function healthSpans({ health, healthTone, slots }: StackView): Line {
  return spaced(span(health.toUpperCase(), healthTone), slots === null ? null : slotsLine(slots));
}

/** What goes on, or that nobody can tell. */
export function activitySpans(state: MonitorState, view: StackView): Line {
  if (state.silence !== null) {
    return [waitingSpan(state)];
  }
  if (state.goneSinceMs !== null) {
    return [span(`SERVER GONE since ${clockText(state.goneSinceMs)}`, 'bad')];
  }
  const [activity] = view.activities;
  if (activity === undefined) return view.isRunning ? [span('idle', 'dim')] : [];
  const { eta, isWaiting, share, short } = activity;
  const words = share === null ? short : `${short} ${percentText(share)}`;
  return spaced(span(words, 'busy'), eta === null ? null : span(eta, isWaiting ? 'warn' : 'plain'));
}

export function headLine(state: MonitorState, view: StackView | null, glyphs: Glyphs): Line {
  const { columns, names } = state;
  const place = names.length > 1 ? `(${state.chosen + 1} of ${names.length})` : null;
  const name = span(nameOf(state), 'title');
  const left =
    view === null
      ? spaced(name, place, waitingSpan(state))
      : spaced(name, place, healthSpans(view), activitySpans(state, view));
  const right = rightParts(state).find(
    (parts) => lineWidth(left) + lineWidth(parts) + 2 <= columns - 2,
  );
  const line = spread(
    [span(' '), ...left],
    [...(right ?? []), span(' ')],
    columns,
    glyphs.ellipsis,
  );
  return fitLine(line, columns, glyphs.ellipsis);
}

function waitingSpan({ silence }: MonitorState): Span {
  if (silence === null) return span('looking', 'dim');
  return span(`NO ANSWER since ${clockText(silence.sinceMs)}`, 'bad');
}

/** From the longest to the shortest. */
function rightParts(state: MonitorState): Line[] {
  const { intervalMs, isFrozen, look } = state;
  const clock = look === null ? null : `${clockText(look.atMs)} UTC`;
  const frozen = isFrozen ? span('FROZEN', 'warn') : null;
  const every = isFrozen ? null : span(`every ${intervalMs / 1000} s`, 'dim');
  return [
    spaced(frozen, clock, every, span('? help', 'dim')),
    spaced(frozen, clock, every),
    spaced(frozen, clock),
    spaced(frozen ?? clock),
  ];
}

/** What is left on the screen of whoever quits. */
export function lastWords(state: MonitorState, view: StackView | null): string {
  const name = nameOf(state);
  if (view === null) return `${name} was not seen`;
  if (state.silence !== null) return `${name} was ${view.health} before it did not answer any more`;
  const [activity] = view.activities;
  const parts = [`${name} is ${view.health}`];
  if (activity !== undefined) {
    const { eta, share, short } = activity;
    const percent = share === null ? '' : ` ${percentText(share)}`;
    parts.push(`${short}${percent}${eta === null ? '' : ` ${eta}`}`);
  }
  return `${parts.join(', ')}${view.isRunning ? ', and keeps running' : ''}`;
}

/** What was just done, what is being typed, or the keys that there is room for. */
export function footLine(state: MonitorState, canCopy: boolean, glyphs: Glyphs): Line {
  const { columns, notice, overlay, typing } = state;
  const fitted = (line: Line): Line => fitLine(line, columns, glyphs.ellipsis);
  if (notice !== null) return fitted(lineOf(span(` ${notice}`, 'strong')));
  if (typing !== null) {
    return fitted(
      lineOf(span(` /${typing}_`, 'strong'), span('  Enter shows it, Esc gives up', 'dim')),
    );
  }
  if (overlay !== null) return fitted(lineOf(span(' Esc back', 'dim')));
  const words: string[] = [];
  let width = 0;
  for (const { action, short, shown } of KEYS) {
    if (short === undefined || (action === 'copy' && !canCopy)) continue;
    const word = `${shown.split(',')[0]} ${short}`;
    if (width + word.length + 3 > columns) continue;
    words.push(word);
    width += word.length + 2;
  }
  return fitted(lineOf(span(` ${words.join('  ')}`, 'dim')));
}
