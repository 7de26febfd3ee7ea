/**
 * One line about a long work, as wide as the terminal allows.                       (control plane)
 *
 *   tank: check ██████▌········· 41.0 % of 3.49 TiB at 612 MiB/s, about 59 min left
 *   tank: check 41.0 %, ~59 min
 *   tank: Load the map, 12 s
 *
 * On a narrow line what matters least goes first: the remarks, the rate, the total, the bar, the
 * estimate; the share stays. There are no colours, and so nothing for NO_COLOR to turn off.
 */

import { formatDuration, formatEstimate, formatSize } from '../block/quantities.ts';
import type { Pace } from '../control/schema.ts';
import { printable } from './table.ts';

/** Few lengths, so that a rate that gets a digit does not make the bar tremble. */
const BAR_CELLS = [24, 16, 8];
const EIGHTHS = ' ▏▎▍▌▋▊▉';

export interface Work {
  /** `tank` */
  readonly name: string;
  /** `check`; or a step, in the words of the log. */
  readonly what: string;
  /** These two are null where nobody knows how much there is to do. */
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
  readonly rateBytesPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly pace: Pace | null;
  /** What else is known of it; not on narrow lines. */
  readonly remarks: readonly string[];
}

/** Of which nothing more is known than that it goes on. */
export function unmeasured(name: string, what: string, remarks: readonly string[] = []): Work {
  const nothing = { doneBytes: null, totalBytes: null, rateBytesPerSecond: null, etaSeconds: null };
  return { name, what, ...nothing, pace: null, remarks };
}

/** `█████▌···`: as long as `cells`, in steps of an eighth of one; `[####...]` in ASCII. */
export function bar(share: number, cells: number, isUnicode: boolean): string {
  const done = Math.min(1, Math.max(0, share));
  if (!isUnicode) {
    const inner = cells - 2;
    return `[${'#'.repeat(Math.floor(done * inner)).padEnd(inner, '.')}]`;
  }
  const eighths = Math.floor(done * cells * 8);
  const whole = Math.floor(eighths / 8);
  const part = eighths % 8;
  const partial = part === 0 ? '' : EIGHTHS.charAt(part);
  return `${'█'.repeat(whole)}${partial}`.padEnd(cells, '·');
}

/** From 0 to 1; 0 where it is not known. Nothing to do is nothing done: it has just begun. */
export function shareOf({ doneBytes, totalBytes }: Pick<Work, 'doneBytes' | 'totalBytes'>): number {
  if (doneBytes === null || totalBytes === null || totalBytes <= 0) return 0;
  return Math.min(1, Math.max(0, doneBytes / totalBytes));
}

export interface LineShape {
  /** At most so long. */
  readonly columns: number;
  readonly isUnicode: boolean;
  /** Since it began. */
  readonly elapsedMs: number;
}

export function progressText(work: Work, shape: LineShape): string {
  const isMeasured = work.doneBytes !== null && work.totalBytes !== null;
  return isMeasured ? measuredText(work, shape) : elapsedText(work, shape);
}

function measuredText(work: Work, { columns, isUnicode }: LineShape): string {
  const head = headOf(work);
  const share = shareOf(work);
  const texts = textsOf(work, share);
  // A bar is worth less than the estimate, where there is one.
  for (const text of texts.slice(0, -1)) {
    const room = columns - head.length - text.length - 2;
    const cells = BAR_CELLS.find((count) => count <= room);
    if (cells !== undefined) return `${head} ${bar(share, cells, isUnicode)} ${text}`;
  }
  const fits = texts.slice(-2).find((text) => head.length + 1 + text.length <= columns);
  const text = fits ?? texts.at(-1)!;
  return `${cut(head, columns - text.length - 1, isUnicode)} ${text}`.trimStart().slice(0, columns);
}

/** From all that is known to the share alone. */
function textsOf(work: Work, share: number): string[] {
  const { etaSeconds, pace, rateBytesPerSecond: rate, remarks, totalBytes } = work;
  const percent = `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
  const isRunning = pace === 'running' || pace === 'estimating';
  const speed = isRunning && rate !== null && rate > 0 ? ` at ${formatSize(rate)}/s` : '';
  const hasEstimate = pace === 'running' && etaSeconds !== null;
  const waits = pace === 'paused' || pace === 'stalled' ? pace : null;
  const early = pace === 'estimating' ? pace : waits;
  const left = hasEstimate ? `about ${formatEstimate(etaSeconds)} left` : early;
  const short = hasEstimate ? `~${formatEstimate(etaSeconds)}` : waits;
  const all = `${percent} of ${formatSize(totalBytes!)}`;
  const join = (...parts: (string | null)[]): string =>
    parts.filter((part) => part !== null).join(', ');
  return [
    join(`${all}${speed}`, left, ...remarks),
    join(`${all}${speed}`, left),
    join(`${all}${speed}`, short),
    join(all, short),
    join(percent, short),
    percent,
  ];
}

/** How long it has taken so far: it goes on, and that is all that can be said. */
function elapsedText(work: Work, { columns, elapsedMs, isUnicode }: LineShape): string {
  const time = formatDuration(Math.floor(elapsedMs / 1000) * 1000);
  const head = headOf(work);
  const all = [head, ...work.remarks, time].join(', ');
  if (all.length <= columns) return all;
  return `${cut(head, columns - time.length - 2, isUnicode)}, ${time}`.slice(0, columns);
}

function headOf({ name, what }: Work): string {
  return printable(`${name}: ${what}`);
}

function cut(text: string, columns: number, isUnicode: boolean): string {
  if (text.length <= columns) return text;
  const end = isUnicode ? '…' : '~';
  return columns < 1 ? '' : `${text.slice(0, columns - 1)}${end}`;
}
