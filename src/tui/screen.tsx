/**
 * The components: a screen of parts, a part of lines, a line of toned texts.       (user interface)
 *
 * What they show is decided in screen-lines.ts. A line that is the same as before is not rendered
 * again.
 */

import { Box, Text } from 'ink';
import { memo } from 'react';
import type { Glyphs } from './glyphs.ts';
import type { MonitorState } from './monitor-state.ts';
import { type ScreenPart, screenParts } from './screen-lines.ts';
import type { Line } from './spans.ts';
import type { Looks } from './theme.ts';

export interface ScreenProps {
  readonly state: MonitorState;
  readonly glyphs: Glyphs;
  readonly looks: Looks;
}

export function Screen({ glyphs, looks, state }: ScreenProps) {
  return (
    <Box flexDirection="column" width={state.columns} height={state.rows} overflow="hidden">
      {screenParts(state, glyphs).map((part) => (
        <Part key={part.name} part={part} looks={looks} />
      ))}
    </Box>
  );
}

function Part({ looks, part }: { readonly part: ScreenPart; readonly looks: Looks }) {
  return (
    <Box flexDirection="column" flexShrink={0}>
      {part.lines.map((line, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a line is its row of the screen.
        <Row key={row} line={line} looks={looks} />
      ))}
    </Box>
  );
}

interface RowProps {
  readonly line: Line;
  readonly looks: Looks;
}

const Row = memo(function Row({ line, looks }: RowProps) {
  return (
    <Text wrap="truncate">
      {line.map(({ text, tone }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts of a line have no other name.
        <Text key={index} {...looks[tone]}>
          {text}
        </Text>
      ))}
    </Text>
  );
}, isSameRow);

function isSameRow(before: RowProps, after: RowProps): boolean {
  if (before.looks !== after.looks || before.line.length !== after.line.length) return false;
  return before.line.every(({ text, tone }, index) => {
    const other = after.line[index]!;
    return other.text === text && other.tone === tone;
  });
}
