/**
 * What tones look like: sixteen colours, or none.                                  (user interface)
 *
 * Without colours there is still bold, dim and reverse. What a tone means is in the words, too.
 */

import type { TextProps } from 'ink';
import type { Tone } from './spans.ts';

export type Looks = Readonly<Record<Tone, Omit<TextProps, 'children'>>>;

export const COLOURED: Looks = {
  plain: {},
  dim: { dimColor: true },
  strong: { bold: true },
  good: { color: 'green' },
  busy: { color: 'cyan' },
  warn: { color: 'yellow', bold: true },
  bad: { color: 'red', bold: true, inverse: true },
  title: { bold: true },
  chosen: { bold: true, underline: true },
};

export const COLOURLESS: Looks = {
  ...COLOURED,
  good: {},
  busy: {},
  warn: { bold: true },
  bad: { bold: true, inverse: true },
};
