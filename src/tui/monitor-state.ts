/**
 * The state of the monitor: all that a screen is a function of.                    (user interface)
 *
 * It knows neither the time nor the terminal, so tests own both; what changes it is in reducer.ts.
 */

import type { EventDocument } from '../control/schema-events.ts';
import type { Look, Sample } from './samples.ts';

export const PANES = ['stack', 'activity', 'space', 'io', 'log'] as const;
export type PaneName = (typeof PANES)[number];

export interface MonitorState {
  /** All stacks that can be looked at, and which one is. */
  readonly names: readonly string[];
  readonly chosen: number;
  /** How often another one was chosen: what a look before that has found is not shown. */
  readonly generation: number;
  readonly columns: number;
  readonly rows: number;
  readonly intervalMs: number;
  /** The server runs in the foreground of this terminal. */
  readonly withServer: boolean;
  /** The newest look; null before the first one. */
  readonly look: Look | null;
  /** Why the newest look failed, and since when; null: it did not. */
  readonly silence: { readonly why: string; readonly sinceMs: number } | null;
  /** There was a server, and since when there is none. */
  readonly goneSinceMs: number | null;
  readonly samples: readonly (Sample | null)[];
  /** Oldest first. */
  readonly events: readonly EventDocument[];
  /** Events that were gone before anybody came for them. */
  readonly missed: number;
  readonly isFrozen: boolean;
  /** What has happened while it was frozen. */
  readonly held: readonly EventDocument[];
  readonly pane: PaneName;
  readonly isExpanded: boolean;
  readonly overlay: 'help' | 'details' | null;
  /** The first row of the help that is shown. */
  readonly helpRow: number;
  /** The row of the stack pane that is chosen; null: that which needs it most. */
  readonly cursor: number | null;
  /** That of the log, which counts from its end. */
  readonly logCursor: number;
  readonly filter: string;
  /** What is being typed; null: nothing is. */
  readonly typing: string | null;
  /** Something that was done, until the next key. */
  readonly notice: string | null;
}

export interface FirstState {
  readonly names: readonly string[];
  readonly columns: number;
  readonly rows: number;
  readonly intervalMs: number;
  readonly withServer: boolean;
}

export function firstState(first: FirstState): MonitorState {
  return {
    ...first,
    chosen: 0,
    generation: 0,
    ...NOTHING_SEEN,
    isFrozen: false,
    pane: 'stack',
    isExpanded: false,
    overlay: null,
    helpRow: 0,
    filter: '',
    typing: null,
    notice: null,
  };
}

/** Of a stack that was not looked at yet. */
export const NOTHING_SEEN = {
  look: null,
  silence: null,
  goneSinceMs: null,
  samples: [],
  events: [],
  held: [],
  missed: 0,
  cursor: null,
  logCursor: 0,
} as const;

export function nameOf({ chosen, names }: MonitorState): string {
  return names[chosen]!;
}
