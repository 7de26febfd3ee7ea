/**
 * Lines of the screen before they have colours: runs of text, each with a tone.    (user interface)
 *
 * A tone says what a text means, the theme what that looks like. Whatever a tone says, the words
 * say it, too: colour is never the only difference.
 */

import { printable } from '../block/printable.ts';
import { cutEnd, textWidth } from './text-width.ts';

/** `good` to `bad` are states; `busy` goes on; `chosen` is where the cursor is. */
export type Tone =
  | 'plain'
  | 'dim'
  | 'strong'
  | 'good'
  | 'busy'
  | 'warn'
  | 'bad'
  | 'title'
  | 'chosen';

export interface Span {
  readonly text: string;
  readonly tone: Tone;
}

export type Line = readonly Span[];

/** Text from outside is made printable here, so that none of it can move the cursor. */
export function span(text: string, tone: Tone = 'plain'): Span {
  return { text: printable(text), tone };
}

/** Texts are plain. */
export function lineOf(...parts: readonly (Span | string)[]): Line {
  return parts.map((part) => (typeof part === 'string' ? span(part) : part));
}

export function lineWidth(line: Line): number {
  return line.reduce((sum, { text }) => sum + textWidth(text), 0);
}

export function lineText(line: Line): string {
  return line.map(({ text }) => text).join('');
}

/** Exactly so many columns: cut, with an ellipsis, or filled with blanks. */
export function fitLine(line: Line, columns: number, ellipsis: string): Line {
  const width = lineWidth(line);
  if (width === columns) return line;
  if (width < columns) return [...line, span(' '.repeat(columns - width))];
  const fitted: Span[] = [];
  let left = columns - textWidth(ellipsis);
  for (const { text, tone } of line) {
    const part = cutEnd(text, left, '');
    fitted.push({ text: part, tone });
    left -= textWidth(part);
    if (part !== text) break;
  }
  return fitLine([...fitted, span(cutEnd(ellipsis, columns, ''), 'dim')], columns, '');
}

/** Parts with two blanks between them; those that are empty are left out. */
export function spaced(...parts: readonly (Line | Span | string | null)[]): Line {
  const spans: Span[] = [];
  for (const part of parts) {
    if (part === null || part === '') continue;
    const line = typeof part === 'string' ? lineOf(part) : 'text' in part ? [part] : part;
    if (spans.length > 0) spans.push(span('  '));
    spans.push(...line);
  }
  return spans;
}

/** `left` at the left and `right` at the right end; where there is no room for both, `left`. */
export function spread(left: Line, right: Line, columns: number, ellipsis: string): Line {
  const gap = columns - lineWidth(left) - lineWidth(right);
  if (gap < 1) return fitLine(left, columns, ellipsis);
  return [...left, span(' '.repeat(gap)), ...right];
}
