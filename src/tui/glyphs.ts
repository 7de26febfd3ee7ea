/**
 * What bars, curves and frames are drawn with: three sets of glyphs.               (user interface)
 *
 * `unicode` has blocks, `braille` the same with two samples of a curve in each cell, and `ascii` is
 * for consoles and fonts that have neither. A bar is exact to an eighth of a cell where the set can
 * show that.
 */

import { type Environment, showsUnicode } from '../block/locale.ts';

export const GLYPH_SETS = ['unicode', 'braille', 'ascii'] as const;
export type GlyphSet = (typeof GLYPH_SETS)[number];

export interface Glyphs {
  readonly set: GlyphSet;
  readonly ellipsis: string;
  /** Corners and borders: ┌ ┐ └ ┘ ─ │ ├ ┤. */
  readonly frame: {
    readonly topLeft: string;
    readonly topRight: string;
    readonly bottomLeft: string;
    readonly bottomRight: string;
    readonly horizontal: string;
    readonly vertical: string;
    readonly left: string;
    readonly right: string;
  };
  /** A bar: its ends, then nothing, eighths, and all of a cell. */
  readonly bar: { readonly ends: readonly [string, string]; readonly cells: string };
  /** A curve, from zero up. */
  readonly levels: string;
  /** Valid: more than 90 %, more than 60 %, more than 30 %, less; then free. */
  readonly shades: readonly [string, string, string, string, string];
  readonly branch: string;
  readonly last: string;
  readonly pointer: string;
  readonly done: string;
  readonly next: string;
  readonly times: string;
}

const UNICODE: Glyphs = {
  set: 'unicode',
  ellipsis: '…',
  frame: {
    topLeft: '┌',
    topRight: '┐',
    bottomLeft: '└',
    bottomRight: '┘',
    horizontal: '─',
    vertical: '│',
    left: '├',
    right: '┤',
  },
  bar: { ends: ['', ''], cells: '·▏▎▍▌▋▊▉█' },
  levels: '▁▂▃▄▅▆▇█',
  shades: ['█', '▓', '▒', '░', '·'],
  branch: '├ ',
  last: '└ ',
  pointer: '▸',
  done: '✔',
  next: '·',
  times: '×',
};

const ASCII: Glyphs = {
  set: 'ascii',
  ellipsis: '~',
  frame: {
    topLeft: '+',
    topRight: '+',
    bottomLeft: '+',
    bottomRight: '+',
    horizontal: '-',
    vertical: '|',
    left: '+',
    right: '+',
  },
  bar: { ends: ['[', ']'], cells: '.#' },
  levels: '_.-=+*#@',
  shades: ['#', '*', '+', '-', '.'],
  branch: '|-',
  last: '`-',
  pointer: '>',
  done: '*',
  next: '.',
  times: 'x',
};

export const GLYPHS: Readonly<Record<GlyphSet, Glyphs>> = {
  unicode: UNICODE,
  braille: { ...UNICODE, set: 'braille' },
  ascii: ASCII,
};

/** What the terminal is likely to show; `environment` is that of the process. */
export function likelyGlyphs(environment: Environment): GlyphSet {
  return showsUnicode(environment) ? 'unicode' : 'ascii';
}

/** A bar of exactly so many columns; `share` is from 0 to 1. Full only for all of it. */
export function barText(share: number, columns: number, { bar }: Glyphs): string {
  const width = columns - bar.ends[0].length - bar.ends[1].length;
  if (width < 1) return ''.padEnd(Math.max(0, columns));
  const cells = [...bar.cells];
  const parts = cells.length - 1;
  const filled = Math.floor(Math.min(1, Math.max(0, share)) * width * parts);
  const full = Math.floor(filled / parts);
  let text = cells[parts]!.repeat(full);
  if (full < width) text += cells[filled % parts]! + cells[0]!.repeat(width - full - 1);
  return bar.ends[0] + text + bar.ends[1];
}

/** Left and right dots of a braille cell, from zero to four of them, from below. */
const BRAILLE_LEFT = [0x40, 0x40, 0x44, 0x46, 0x47];
const BRAILLE_RIGHT = [0x80, 0x80, 0xa0, 0xb0, 0xb8];

/** Samples that a curve of so many columns shows. */
export function curveSamples(columns: number, { set }: Glyphs): number {
  return set === 'braille' ? 2 * columns : columns;
}

/**
 * A curve of exactly so many columns; the newest sample is at the right. Shares are from 0 to 1;
 * null is a gap.
 */
export function curveText(
  shares: readonly (number | null)[],
  columns: number,
  glyphs: Glyphs,
): string {
  const count = curveSamples(columns, glyphs);
  const gaps = Array.from({ length: Math.max(0, count - shares.length) }, () => null);
  const shown = [...gaps, ...shares.slice(Math.max(0, shares.length - count))];
  if (glyphs.set === 'braille') return brailleText(shown);
  const levels = [...glyphs.levels];
  return shown
    .map((share) => (share === null ? ' ' : levels[levelOf(share, levels.length - 1)]!))
    .join('');
}

/** From 0 to `top`; what is not zero shows. */
function levelOf(share: number, top: number): number {
  if (!(share > 0)) return 0;
  return Math.min(top, Math.max(1, Math.round(share * top)));
}

function brailleText(shares: readonly (number | null)[]): string {
  let text = '';
  for (let at = 0; at < shares.length; at += 2) {
    const [left, right] = [shares[at] ?? null, shares[at + 1] ?? null];
    const dots =
      (left === null ? 0 : BRAILLE_LEFT[levelOf(left, 4)]!) |
      (right === null ? 0 : BRAILLE_RIGHT[levelOf(right, 4)]!);
    text += dots === 0 ? ' ' : String.fromCodePoint(0x2800 + dots);
  }
  return text;
}
