/**
 * The whole screen as lines, a function of the state.                              (user interface)
 *
 * Parts that are drawn by one component each; every line is exactly as wide as the terminal, and
 * there are exactly as many as it has rows.
 */

import { activityPane } from './activity-pane.ts';
import { commandToCopy, detailsPane } from './details.ts';
import type { Glyphs } from './glyphs.ts';
import { footLine, headLine } from './head-line.ts';
import { ioPane } from './io-pane.ts';
import { KEYS } from './keys.ts';
import { layoutOf, type PaneWish } from './layout.ts';
import { logPane } from './log-pane.ts';
import type { MonitorState, PaneName } from './monitor-state.ts';
import { type Paint, type PaneText, paneLines } from './pane-text.ts';
import { recoveryView } from './recovery-view.ts';
import { ioView } from './samples.ts';
import { fewLines, summaryLines } from './small-screens.ts';
import { spacePane } from './space-pane.ts';
import { fitLine, type Line, lineOf, lineWidth, type Span, span } from './spans.ts';
import { silenceLines, stackPane } from './stack-pane.ts';
import { padEnd } from './text-width.ts';
import { type StackView, stackView } from './view.ts';

export interface ScreenPart {
  readonly name: string;
  readonly lines: readonly Line[];
}

export function screenParts(state: MonitorState, glyphs: Glyphs): ScreenPart[] {
  const { columns, look, rows } = state;
  const view = look === null ? null : stackView(look.status);
  const wide: Paint = { glyphs, columns };
  const panes = paneTexts(state, view, { glyphs, columns: Math.max(0, columns - 4) });
  const alone = state.overlay !== null || !state.isExpanded ? null : state.pane;
  const layout = layoutOf(columns, rows, { wishes: panes.map(({ wish }) => wish), alone });
  if (layout.kind === 'lines')
    return [{ name: 'lines', lines: fill(fewLines(state, view, wide), state) }];
  const head: ScreenPart = { name: 'head', lines: [headLine(state, view, glyphs)] };
  const canCopy = commandToCopy(state) !== null;
  const foot: ScreenPart = { name: 'foot', lines: [footLine(state, canCopy, glyphs)] };
  const inner = rows - 2;
  if (state.overlay !== null && view !== null) {
    const text = overlayText(state, view, { glyphs, columns: columns - 4 });
    return [
      head,
      { name: 'overlay', lines: frame([{ text, rows: inner - 2, hasFocus: true }], wide) },
      foot,
    ];
  }
  if (view === null || layout.kind === 'summary') {
    const lines =
      view === null ? silenceLines(state, wide) : summaryLines(state, view, inner, wide);
    return [head, { name: 'summary', lines: fill(lines, { columns, rows: inner }) }, foot];
  }
  const framed = layout.panes.map(({ name, rows: paneRows }) => ({
    text: panes.find(({ wish }) => wish.name === name)!.text,
    rows: paneRows,
    hasFocus: name === state.pane,
  }));
  return [head, { name: 'panes', lines: frame(framed, wide) }, foot];
}

/** Blank lines below. */
function fill(
  lines: readonly Line[],
  { columns, rows }: { columns: number; rows: number },
): Line[] {
  const blank = lineOf(' '.repeat(columns));
  return Array.from({ length: rows }, (_, row) => lines[row] ?? blank);
}

// --- panes --------------------------------------------------------------------------------------

interface Wanted {
  readonly wish: PaneWish;
  readonly text: PaneText;
}

const STACK_ROWS_LEAST = 6;
/** Of the screen, at most so much is for the stack before the others have what they need. */
const STACK_SHARE = 0.4;
/** A recovery comes first, and below so many rows there is nothing about space beside it. */
const STACK_SHARE_RECOVERY = 0.25;
const RECOVERY_AND_SPACE_ROWS = 40;

function paneTexts(state: MonitorState, view: StackView | null, paint: Paint): Wanted[] {
  const { isExpanded, look, pane } = state;
  if (view === null || look === null) return [];
  const recovery = recoveryView(look.status);
  const panes: Wanted[] = [];
  const add = (name: PaneName, text: PaneText, least: number, most: number, rank: number): void => {
    panes.push({ wish: { name, least, most: Math.max(least, most), rank }, text });
  };
  const stack = stackPane(state, view, paint);
  const stackRows = lengthOf(stack);
  const stackShare = recovery === null ? STACK_SHARE : STACK_SHARE_RECOVERY;
  const stackMost = Math.min(
    stackRows,
    Math.max(STACK_ROWS_LEAST, Math.floor(state.rows * stackShare)),
  );
  add('stack', stack, Math.min(stackRows, STACK_ROWS_LEAST), stackMost, 0);
  const isAlone = isExpanded && pane === 'activity';
  if (recovery !== null || view.activities.length > 0 || isAlone) {
    const text = activityPane(view, recovery, paint);
    const least = recovery === null ? 2 : 3;
    add('activity', text, Math.min(least, lengthOf(text)), lengthOf(text), 1);
  }
  const space = spacePane(look.status, paint);
  const isSpaceAlone = isExpanded && pane === 'space';
  const hasRoom = recovery === null || state.rows >= RECOVERY_AND_SPACE_ROWS;
  if (space !== null && (hasRoom || isSpaceAlone)) add('space', space, 1, lengthOf(space), 4);
  else if (isSpaceAlone) add('space', NO_SPACE, 1, 1, 4);
  add('io', ioPane(ioView(state.samples), state.intervalMs, paint), 2, 3, 3);
  add('log', logPane(state, paint), 2, 3, 2);
  return panes;
}

const NO_SPACE: PaneText = {
  title: lineOf('space'),
  fixed: [lineOf('there is neither an FTL nor an NV cache')],
  rows: [],
  at: 0,
};

function lengthOf({ fixed, rows }: PaneText): number {
  return fixed.length + rows.length;
}

function overlayText(state: MonitorState, view: StackView, paint: Paint): PaneText {
  return state.overlay === 'help' ? helpText(state) : detailsPane(state, view, paint);
}

function helpText({ helpRow, withServer }: MonitorState): PaneText {
  const width = Math.max(...KEYS.map(({ shown }) => shown.length));
  const rows = KEYS.slice(helpRow).map((key) => {
    const meaning = withServer ? (key.withServer ?? key.meaning) : key.meaning;
    return lineOf(span(padEnd(key.shown, width + 2), 'strong'), meaning);
  });
  return { title: lineOf('keys'), fixed: [], rows, at: 0 };
}

// --- the frame ----------------------------------------------------------------------------------

interface Framed {
  readonly text: PaneText;
  readonly rows: number;
  readonly hasFocus: boolean;
}

function frame(panes: readonly Framed[], { columns, glyphs }: Paint): Line[] {
  const { frame: border } = glyphs;
  const inside: Paint = { glyphs, columns: columns - 4 };
  const lines: Line[] = [];
  panes.forEach(({ hasFocus, rows, text }, index) => {
    const [left, right] =
      index === 0 ? [border.topLeft, border.topRight] : [border.left, border.right];
    lines.push(titleLine(text.title, hasFocus, [left, right], columns, glyphs));
    for (const line of paneLines(text, rows, inside)) {
      lines.push([dim(`${border.vertical} `), ...line, dim(` ${border.vertical}`)]);
    }
  });
  const bottom = border.horizontal.repeat(Math.max(0, columns - 2));
  lines.push([dim(border.bottomLeft + bottom + border.bottomRight)]);
  return lines;
}

function dim(text: string): Span {
  return { text, tone: 'dim' };
}

/** `├─ title ───┤`; the pane that keys are for has a pointer before its title. */
function titleLine(
  title: Line,
  hasFocus: boolean,
  [left, right]: readonly [string, string],
  columns: number,
  glyphs: Glyphs,
): Line {
  const { horizontal } = glyphs.frame;
  const room = Math.max(0, columns - 6);
  const mark = hasFocus ? glyphs.pointer : horizontal;
  const text = lineWidth(title) > room ? fitLine(title, room, glyphs.ellipsis) : title;
  const toned = text.map((part) => ({ ...part, tone: hasFocus ? ('title' as const) : part.tone }));
  const rest = horizontal.repeat(Math.max(0, columns - lineWidth(text) - 5));
  return [
    dim(left),
    { text: mark, tone: hasFocus ? 'title' : 'dim' },
    dim(' '),
    ...toned,
    dim(` ${rest}${right}`),
  ];
}
