/**
 * What changes the state of the monitor: looks at the stack, keys, sizes.          (user interface)
 *
 * One reducer for input and data; whatever is drawn is a function of the state alone.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { EventDocument } from '../control/schema-events.ts';
import { actionOf } from './keys.ts';
import { type MonitorState, NOTHING_SEEN } from './monitor-state.ts';
import { moved, shownEvents } from './moves.ts';
import { sampleOf, withSample } from './samples.ts';

/** What the interval can be. */
export const INTERVALS_MS = [500, 1000, 2000, 5000, 10_000] as const;
const EVENTS_MAX = 500;
const FILTER_MAX = 60;

export type MonitorEvent =
  | {
      readonly kind: 'look';
      /** Of the state when the look began. */
      readonly generation: number;
      readonly atMs: number;
      readonly status: StatusDocument;
      readonly events: readonly EventDocument[];
      readonly missed: number;
    }
  | {
      readonly kind: 'silence';
      readonly generation: number;
      readonly atMs: number;
      readonly why: string;
    }
  | { readonly kind: 'size'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'notice'; readonly text: string };

export function reduce(state: MonitorState, event: MonitorEvent): MonitorState {
  switch (event.kind) {
    case 'look':
      return event.generation === state.generation ? looked(state, event) : state;
    case 'silence':
      return event.generation === state.generation ? silent(state, event) : state;
    case 'size':
      return { ...state, columns: event.columns, rows: event.rows };
    case 'notice':
      return { ...state, notice: event.text };
    default:
      return typed({ ...state, notice: null }, event.key);
  }
}

function looked(
  state: MonitorState,
  event: Extract<MonitorEvent, { readonly kind: 'look' }>,
): MonitorState {
  const { atMs, status } = event;
  // Frozen means that nothing moves; a gap in the curves says so afterwards.
  if (state.isFrozen) {
    return { ...state, held: [...state.held, ...event.events].slice(-EVENTS_MAX) };
  }
  const look = { atMs, status };
  const wasThere = state.look?.status.server != null;
  const isThere = status.server !== null;
  const goneSinceMs = isThere ? null : (state.goneSinceMs ?? (wasThere ? atMs : null));
  return {
    ...state,
    look,
    silence: null,
    goneSinceMs,
    samples: withSample(state.samples, sampleOf(state.look, look)),
    ...withEvents(state, event.events),
    missed: state.missed + event.missed,
  };
}

/** What is looked at in the log stays where it is while others come. */
function withEvents(
  { events, filter, logCursor }: MonitorState,
  more: readonly EventDocument[],
): Pick<MonitorState, 'events' | 'logCursor'> {
  const shown = shownEvents({ events: more, filter }).length;
  return {
    events: [...events, ...more].slice(-EVENTS_MAX),
    logCursor: logCursor === 0 ? 0 : logCursor + shown,
  };
}

function silent(
  state: MonitorState,
  { atMs, why }: Extract<MonitorEvent, { readonly kind: 'silence' }>,
): MonitorState {
  if (state.isFrozen) return state;
  const sinceMs = state.silence?.sinceMs ?? atMs;
  return { ...state, silence: { why, sinceMs }, samples: withSample(state.samples, null) };
}

// --- keys ---------------------------------------------------------------------------------------

function typed(state: MonitorState, key: string): MonitorState {
  if (state.typing !== null) return typedFilter(state, state.typing, key);
  if (/^[1-9]$/.test(key)) return chose(state, Number(key) - 1);
  const action = actionOf(key);
  switch (action) {
    case 'help':
      return { ...state, overlay: state.overlay === 'help' ? null : 'help', helpRow: 0 };
    case 'back':
      return state.overlay === null
        ? { ...state, isExpanded: false, filter: '' }
        : { ...state, overlay: null };
    case 'details':
      return state.overlay === null ? { ...state, overlay: 'details' } : state;
    case 'expand':
      return { ...state, isExpanded: !state.isExpanded };
    case 'freeze':
      return frozen(state);
    case 'filter':
      return { ...state, typing: state.filter, pane: 'log' };
    case 'faster':
      return paced(state, -1);
    case 'slower':
      return paced(state, 1);
    case 'stack-next':
      return chose(state, (state.chosen + 1) % state.names.length);
    default:
      return action === null ? state : moved(state, action);
  }
}

function typedFilter(state: MonitorState, typing: string, key: string): MonitorState {
  if (key === 'enter') return { ...state, filter: typing, typing: null, logCursor: 0 };
  if (key === 'escape') return { ...state, typing: null };
  if (key === 'backspace') return { ...state, typing: [...typing].slice(0, -1).join('') };
  // Names of other keys have more than one character.
  if ([...key].length !== 1) return state;
  return { ...state, typing: (typing + key).slice(0, FILTER_MAX) };
}

function frozen(state: MonitorState): MonitorState {
  const { held, isFrozen, samples } = state;
  if (!isFrozen) return { ...state, isFrozen: true };
  const melted = { ...state, ...withEvents(state, held), held: [], isFrozen: false };
  return { ...melted, samples: withSample(samples, null) };
}

function paced(state: MonitorState, step: 1 | -1): MonitorState {
  const slower = INTERVALS_MS.find((ms) => ms > state.intervalMs);
  const faster = INTERVALS_MS.findLast((ms) => ms < state.intervalMs);
  return { ...state, intervalMs: (step === 1 ? slower : faster) ?? state.intervalMs };
}

function chose(state: MonitorState, chosen: number): MonitorState {
  if (chosen === state.chosen || chosen >= state.names.length) return state;
  const generation = state.generation + 1;
  return { ...state, ...NOTHING_SEEN, chosen, generation, isFrozen: false, overlay: null };
}
