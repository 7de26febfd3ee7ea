/**
 * MonitorSource: where the monitor gets what it shows.                             (user interface)
 *
 * A look is one answer of one server: its status, and what has happened since the look before.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { EventDocument } from '../control/schema-events.ts';

export interface MonitorLook {
  readonly status: StatusDocument;
  /** New since the look before, oldest first. */
  readonly events: readonly EventDocument[];
  /** Older ones that the server does not keep any more. */
  readonly missed: number;
}

export interface MonitorSource {
  /** Throws BandstandError; a look that is given up through `signal` may give anything. */
  look(name: string, signal: AbortSignal): Promise<MonitorLook>;
  /** The next look is at another stack: all its events are new. */
  forget(): void;
}
