/**
 * How much is read and written now, and how long that takes.                       (user interface)
 */

import { formatCount, formatLatency, formatSize } from '../block/quantities.ts';
import { curveSamples, curveText } from './glyphs.ts';
import type { Paint, PaneText } from './pane-text.ts';
import { type IoView, linearShares, logarithmicShares } from './samples.ts';
import { type Line, lineOf, span } from './spans.ts';
import { padEnd, padStart } from './text-width.ts';

const RATE_COLUMNS = '1023 MiB/s'.length;
const TIME_COLUMNS = '999.9 ms'.length;
const MAX_COLUMNS = 'max 1023 MiB/s'.length;

export function ioPane(io: IoView, intervalMs: number, paint: Paint): PaneText {
  const perCell = intervalMs * (curveSamples(1, paint.glyphs) / 1000);
  const iops = io.iops === null ? '' : `, ${formatCount(io.iops)} operations/s`;
  return {
    title: lineOf(`I/O: one column = ${perCell} s${iops}`),
    fixed: [
      rateLine('read', io.readRate, io.readRates, paint),
      rateLine('write', io.writeRate, io.writeRates, paint),
      latencyLine(io, paint),
    ],
    rows: [],
    at: 0,
  };
}

function rateText(rate: number | null): string {
  return rate === null ? '-' : `${formatSize(Math.round(rate))}/s`;
}

function rateLine(
  name: string,
  rate: number | null,
  rates: readonly (number | null)[],
  { columns, glyphs }: Paint,
): Line {
  const head = `${padEnd(name, 5)} ${padStart(rateText(rate), RATE_COLUMNS)} `;
  const room = Math.max(0, columns - head.length - MAX_COLUMNS - 1);
  const shown = rates.slice(-Math.max(1, curveSamples(room, glyphs)));
  const { max, shares } = linearShares(shown);
  return [
    span(head),
    span(curveText(shares, room, glyphs), 'busy'),
    span(` ${padStart(`max ${rateText(max)}`, MAX_COLUMNS)}`, 'dim'),
  ];
}

/** Percentiles are of a minute; the curve shows the 99th, on a logarithmic scale. */
function latencyLine({ latency, p99s }: IoView, { columns, glyphs }: Paint): Line {
  const time = (us: number | undefined): string =>
    padStart(us === undefined ? '-' : formatLatency(us), TIME_COLUMNS);
  const head = `p50 ${time(latency?.p50Us)}  p99 ${time(latency?.p99Us)}  max ${time(latency?.maxUs)}`;
  const room = Math.max(0, columns - head.length - ' p99 '.length);
  if (room < 4) return lineOf(head);
  const shown = p99s.slice(-curveSamples(room, glyphs));
  const curve = curveText(logarithmicShares(shown), room, glyphs);
  return [span(head), span(' p99 ', 'dim'), span(curve, 'busy')];
}
