/**
 * Heat strips: many bands, or blocks of a ring, in one line of cells.              (user interface)
 *
 * The server sends at most 512 letters (`src/ftl/band-map.ts` has their meaning); a screen has room
 * for fewer. A cell shows the worst of the bands it stands for, else the mean of what is valid.
 */

import type { CacheRingDocument } from '../control/schema.ts';
import type { Glyphs } from './glyphs.ts';
import { type Line, type Span, span, type Tone } from './spans.ts';

/** Letters that show wherever one of them is, the worst first. */
const WORST = ['!', 'G', 'O'] as const;

/** How many letters share a cell of the strip. */
export function lettersPerCell(cells: string, columns: number): number {
  return Math.max(1, Math.ceil(cells.length / Math.max(1, columns)));
}

/** At most `columns` letters. */
export function joinCells(cells: string, columns: number): string {
  const per = lettersPerCell(cells, columns);
  let joined = '';
  for (let at = 0; at < cells.length; at += per) joined += joinOne(cells.slice(at, at + per));
  return joined;
}

function joinOne(letters: string): string {
  const worst = WORST.find((letter) => letters.includes(letter));
  if (worst !== undefined) return worst;
  const holding = [...letters].filter((letter) => letter !== 'M');
  if (holding.length === 0) return 'M';
  if (holding.every((letter) => letter === '.')) return '.';
  const tenths = holding.map((letter) => (letter === '.' ? 0 : Number(letter) + 0.5));
  return String(Math.floor(tenths.reduce((sum, tenth) => sum + tenth, 0) / holding.length));
}

const TONES: Readonly<Record<string, Tone>> = {
  '!': 'bad',
  G: 'warn',
  O: 'busy',
  M: 'dim',
  '.': 'dim',
};

function glyphOf(letter: string, { shades }: Glyphs): string {
  if (letter === '.') return shades[4];
  if (!/\d/.test(letter)) return letter;
  const tenths = Number(letter);
  return shades[tenths >= 9 ? 0 : tenths >= 6 ? 1 : tenths >= 3 ? 2 : 3];
}

export function heatLine(cells: string, columns: number, glyphs: Glyphs): Line {
  const letters = [...joinCells(cells, columns)];
  return mergeSpans(letters.map((one) => span(glyphOf(one, glyphs), TONES[one] ?? 'plain')));
}

/** What the shades and letters mean; `free` only where it can occur. */
export function heatLegend({ shades }: Glyphs): Line {
  const [most, much, some, little, free] = shades;
  return [
    span(`valid ${most} >90 % ${much} >60 % ${some} >30 % ${little} less  ${free} free  `, 'dim'),
    span('O open', 'busy'),
    span('  '),
    span('G relocating', 'warn'),
    span('  '),
    span('! damaged', 'bad'),
    span('  M map', 'dim'),
  ];
}

/** Parts of the ring, in the order in which they show where several share a cell. */
const RING_PARTS = ['head', 'undrained', 'drained', 'free'] as const;
type RingPart = (typeof RING_PARTS)[number];

/**
 * The ring from its first block to its last: what only it has, what the FTL has, too, and where the
 * next record goes.
 */
export function ringLine(
  ring: CacheRingDocument,
  blocks: { readonly used: number; readonly undrained: number },
  columns: number,
  glyphs: Glyphs,
): Line {
  const { block_count: count, first_block: first } = ring;
  const head = ring.head_block - first;
  const spans: Span[] = [];
  const cells = Math.max(1, Math.min(columns, count));
  for (let cell = 0; cell < cells; cell += 1) {
    const from = Math.floor((cell * count) / cells);
    const to = Math.floor(((cell + 1) * count) / cells);
    const parts = new Set<RingPart>();
    if (head >= from && head < to) parts.add('head');
    // Both runs end at the head.
    if (overlaps(head - blocks.undrained, head, from, to, count)) parts.add('undrained');
    if (overlaps(head - blocks.used, head - blocks.undrained, from, to, count))
      parts.add('drained');
    const part = RING_PARTS.find((one) => parts.has(one)) ?? 'free';
    spans.push(ringSpan(part, glyphs));
  }
  return mergeSpans(spans);
}

function ringSpan(part: RingPart, { pointer, shades }: Glyphs): Span {
  if (part === 'head') return span(pointer, 'strong');
  if (part === 'undrained') return span(shades[0], 'busy');
  return part === 'drained' ? span(shades[2]) : span(shades[4], 'dim');
}

export function ringLegend({ pointer, shades }: Glyphs): Line {
  return [
    span(`${shades[0]} only here`, 'busy'),
    span(`  ${shades[2]} drained`),
    span(`  ${shades[4]} free`, 'dim'),
    span(`  ${pointer} head`, 'strong'),
  ];
}

/** Whether a run that may begin before 0, or in the lap before, has a block in from … to. */
function overlaps(start: number, end: number, from: number, to: number, count: number): boolean {
  if (start >= end) return false;
  return (start < to && end > from) || (start + count < to && end + count > from);
}

function mergeSpans(spans: readonly Span[]): Line {
  const merged: Span[] = [];
  for (const one of spans) {
    const last = merged.at(-1);
    if (last?.tone === one.tone) merged[merged.length - 1] = span(last.text + one.text, one.tone);
    else merged.push(one);
  }
  return merged;
}
