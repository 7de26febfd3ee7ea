/**
 * Where the cursor is, and where a key takes it.                                   (user interface)
 */

import type { EventDocument } from '../control/schema-events.ts';
import { type Action, KEYS } from './keys.ts';
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
      return { ...state, pane: beside(state, 1), overlay: null };
    case 'pane-before':
      return { ...state, pane: beside(state, -1), overlay: null };
    case 'warning':
      return toWarning(state, 1);
    case 'warning-newer':
      return toWarning(state, -1);
    default:
      if (state.overlay === 'help') return inHelp(state, action);
      return state.pane === 'log' ? inLog(state, action) : inStack(state, action);
  }
}

/** Those that have something to show; one that a small screen leaves out can be expanded. */
function beside({ look, pane }: MonitorState, step: 1 | -1): PaneName {
  const status = look?.status ?? null;
  const isIdle = status === null || stackView(status).activities.length === 0;
  const hasSpace = status !== null && (status.ftl !== null || status.cache !== null);
  const panes = PANES.filter(
    (name) => !(name === 'activity' && isIdle) && !(name === 'space' && !hasSpace),
  );
  return panes[(panes.indexOf(pane) + step + panes.length) % panes.length]!;
}

function clamp(value: number, count: number): number {
  return Math.max(0, Math.min(count - 1, value));
}

function inHelp(state: MonitorState, action: Action): MonitorState {
  const to: Partial<Record<Action, number>> = {
    up: state.helpRow - 1,
    down: state.helpRow + 1,
    first: 0,
    last: KEYS.length - 1,
  };
  const helpRow = to[action];
  return helpRow === undefined ? state : { ...state, helpRow: clamp(helpRow, KEYS.length) };
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
