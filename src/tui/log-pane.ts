/**
 * What has happened: the events of the stack, the newest last.                     (user interface)
 */

import { formatCount } from '../block/quantities.ts';
import type { EventDocument } from '../control/schema-events.ts';
import type { MonitorState } from './monitor-state.ts';
import { chosenEvent, shownEvents } from './moves.ts';
import type { Paint, PaneText } from './pane-text.ts';
import { type Line, lineOf, spaced, span, type Tone } from './spans.ts';

const TONES: Readonly<Record<EventDocument['severity'], Tone>> = {
  info: 'plain',
  warning: 'warn',
  error: 'bad',
};

export function logPane(state: MonitorState, { glyphs }: Paint): PaneText {
  const { events: all, filter, logCursor, missed, pane, typing } = state;
  const events = shownEvents(state);
  const chosen = pane === 'log' ? chosenEvent(state) : null;
  const searched = typing ?? filter;
  const title = spaced(
    'log',
    searched === '' && typing === null
      ? null
      : `/${searched}${typing === null ? '' : '_'}: ${events.length} of ${all.length}`,
    missed > 0 ? `${formatCount(missed)} older ones are in the log of the server` : null,
  );
  const rows =
    events.length === 0
      ? [lineOf(span(filter === '' ? 'nothing has happened yet' : 'no event has this', 'dim'))]
      : events.map((event) => eventLine(event, event === chosen ? glyphs.pointer : ' '));
  return { title, fixed: [], rows, at: Math.max(0, events.length - 1 - logCursor) };
}

/** `09:14:02 E nvme2n1: …`, the time in UTC as `bandstand events` has it. */
function eventLine({ message, severity, time }: EventDocument, sign: string): Line {
  const letter = severity.charAt(0).toUpperCase();
  return lineOf(
    span(`${sign}${time.slice(11, 19)} `, 'dim'),
    span(`${letter} ${message}`, TONES[severity]),
  );
}
