/**
 * Where the cursor is, and where a key takes it.                                   (user interface)
 */

import type { EventDocument } from '../control/schema-events.ts';
import type { Action } from './keys.ts';
import { type MonitorState, PANES, type PaneName } from './monitor-state.ts';
import type { Tone } from './spans.ts';
import { stackView, type TreeRow } from './view.ts';

/** Rows of the stack pane that can be chosen. */
export function choosable({ look }: MonitorState): readonly TreeRow[] {
  return look === null ? [] : stackView(look.status).rows.filter(({ key }) => key !== null);
}

/** The one that is; null where there is none. */
export function chosenRow(state: MonitorState): TreeRow | null {
  const rows = choosable(state);
  return rows[chosenIndex(state, rows)] ?? null;
}

/** The worst first. */
const NEEDY: readonly Tone[] = ['bad', 'busy', 'warn'];

function chosenIndex({ cursor }: MonitorState, rows: readonly TreeRow[]): number {
  if (cursor !== null) return Math.min(cursor, rows.length - 1);
  for (const needy of NEEDY) {
    const at = rows.findIndex(({ tone }) => tone === needy);
    if (at !== -1) return at;
  }
  return 0;
}

/** Events that the filter lets through, oldest first. */
export function shownEvents({
  events,
  filter,
}: Pick<MonitorState, 'events' | 'filter'>): readonly EventDocument[] {
  if (filter === '') return events;
  const word = filter.toLowerCase();
  return events.filter(({ kind, message, severity }) =>
    `${severity} ${kind} ${message}`.toLowerCase().includes(word),
  );
}

/** The event under the cursor of the log, which counts from the newest. */
export function chosenEvent(state: MonitorState): EventDocument | null {
  const events = shownEvents(state);
  return events[Math.max(0, events.length - 1 - state.logCursor)] ?? null;
}

export function moved(state: MonitorState, action: Action): MonitorState {
  switch (action) {
    case 'pane':
      return { ...state, pane: beside(state.pane, 1), overlay: null };
    case 'pane-before':
      return { ...state, pane: beside(state.pane, -1), overlay: null };
    case 'warning':
      return toWarning(state, 1);
    case 'warning-newer':
      return toWarning(state, -1);
    default:
      return state.pane === 'log' ? inLog(state, action) : inStack(state, action);
  }
}

/** Panes that have nothing to show are left out by the layout, and still can be expanded. */
function beside(pane: PaneName, step: 1 | -1): PaneName {
  const at = PANES.indexOf(pane) + step + PANES.length;
  return PANES[at % PANES.length]!;
}

function clamp(value: number, count: number): number {
  return Math.max(0, Math.min(count - 1, value));
}

function inStack(state: MonitorState, action: Action): MonitorState {
  const rows = choosable(state);
  const count = rows.length;
  const at = chosenIndex(state, rows);
  const to: Partial<Record<Action, number>> = {
    up: at - 1,
    down: at + 1,
    first: 0,
    last: count - 1,
  };
  const cursor = to[action];
  return cursor === undefined ? state : { ...state, cursor: clamp(cursor, count) };
}

/** Up is towards what is older. */
function inLog(state: MonitorState, action: Action): MonitorState {
  const count = shownEvents(state).length;
  const to: Partial<Record<Action, number>> = {
    up: state.logCursor + 1,
    down: state.logCursor - 1,
    first: count - 1,
    last: 0,
  };
  const logCursor = to[action];
  return logCursor === undefined ? state : { ...state, logCursor: clamp(logCursor, count) };
}

/** The nearest warning or error on one side of the cursor; `step` 1 is towards what is older. */
function toWarning(state: MonitorState, step: 1 | -1): MonitorState {
  const newestFirst = [...shownEvents(state)].reverse();
  for (let at = state.logCursor + step; at >= 0 && at < newestFirst.length; at += step) {
    if (newestFirst[at]!.severity !== 'info') return { ...state, pane: 'log', logCursor: at };
  }
  return { ...state, pane: 'log' };
}
