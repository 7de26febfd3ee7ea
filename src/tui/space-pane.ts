/**
 * Where the bands and the ring of the NV cache are: two strips.                    (user interface)
 */

import { formatCount, formatSize } from '../block/quantities.ts';
import type { CacheStatusDocument, FtlStatusDocument, StatusDocument } from '../control/schema.ts';
import { heatLegend, heatLine, lettersPerCell, ringLegend, ringLine } from './heat.ts';
import type { Paint, PaneText } from './pane-text.ts';
import { type Line, lineOf, spaced, span } from './spans.ts';
import { BLOCK_BYTES } from './view.ts';

/** Null where there is neither an FTL nor a ring to be drawn. */
export function spacePane({ cache, ftl }: StatusDocument, paint: Paint): PaneText | null {
  const bands = ftl === null ? null : bandsPart(ftl, paint);
  const ring = cache === null ? null : ringPart(cache, paint);
  if (bands === null && ring === null) return null;
  const [title] = bands === null ? ring! : bands;
  // Strips first, so that they are what is left where there is little room.
  const strips = [...(bands?.[1] ?? []), ...(ring?.[1] ?? [])];
  const words = [...(bands?.[2] ?? []), ...(ring?.[2] ?? [])];
  return { title, fixed: [...strips, ...words], rows: [], at: 0 };
}

type Part = readonly [title: Line, strip: readonly Line[], words: readonly Line[]];

function bandsPart({ bands }: FtlStatusDocument, { columns, glyphs }: Paint): Part {
  const { closed, free, open, total } = bands;
  // A server of an older version sends no map.
  const cells = bands.map?.cells ?? '';
  const per = (bands.map?.bands_per_cell ?? 1) * lettersPerCell(cells, columns);
  const title = spaced(
    `bands: ${formatCount(total)} of ${formatSize(bands.size_bytes)}`,
    cells === '' ? null : `one cell = ${formatCount(per)}`,
    `${formatCount(free)} free, ${formatCount(open)} open, ${formatCount(closed)} closed`,
  );
  if (cells === '') return [title, [], []];
  return [title, [heatLine(cells, columns, glyphs)], [heatLegend(glyphs)]];
}

function ringPart(cache: CacheStatusDocument, { columns, glyphs }: Paint): Part | null {
  const { drained_blocks: drained, dropped_blocks: dropped, phase } = cache;
  const { ring, undrained_bytes: undrained, used_bytes: used } = cache;
  if (ring == null || used === null || undrained === null) return null;
  const blocks = { used: used / BLOCK_BYTES, undrained: undrained / BLOCK_BYTES };
  const position = (block: number): string => formatCount(block - ring.first_block);
  const overwritten = Math.floor((100 * dropped) / Math.max(1, drained + dropped));
  const title = lineOf(`nv cache: ${formatSize(ring.block_count * BLOCK_BYTES)}`);
  return [
    title,
    [ringLine(ring, blocks, columns, glyphs)],
    [
      spaced(
        `ring: phase ${phase}`,
        `tail ${position(ring.tail_block)}`,
        `drained ${position(ring.drained_block)}`,
        `head ${position(ring.head_block)} of ${formatCount(ring.block_count)}`,
        undrained > 0 ? span(`${formatSize(undrained)} not drained`, 'busy') : 'all is drained',
        drained + dropped === 0 ? null : `${overwritten} % overwritten there`,
      ),
      ringLegend(glyphs),
    ],
  ];
}
