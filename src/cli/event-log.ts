/**
 * EventLog: the last events of a stack's server, numbered, for those who ask.       (control plane)
 *
 * A ring of a fixed length: old events fall out and are counted as missed for whoever comes late. A
 * client that has seen everything may wait for the next event; closing the log answers all who
 * wait, so that nobody keeps the process alive.
 */

import type { EventDocument, EventsReply, EventsRequest } from '../control/schema-events.ts';

export const EVENTS_KEPT = 1000;
/** Well below what a line of the protocol may have. */
const REPLY_CHARACTERS_MAX = 512 * 1024;

export type NewEvent = Omit<EventDocument, 'sequence' | 'time' | 'stack'>;

export class EventLog {
  readonly #stack: string;
  readonly #now: () => Date;
  readonly #kept: number;
  #events: EventDocument[] = [];
  #last = 0;
  #closed = false;
  readonly #waiting = new Set<() => void>();

  constructor(stack: string, options: { now?: () => Date; kept?: number } = {}) {
    this.#stack = stack;
    this.#now = options.now ?? (() => new Date());
    this.#kept = options.kept ?? EVENTS_KEPT;
  }

  add(event: NewEvent): EventDocument {
    this.#last += 1;
    const time = this.#now().toISOString();
    const { kind, severity, message, ...rest } = event;
    const stack = this.#stack;
    const document = { sequence: this.#last, time, kind, severity, stack, message, ...rest };
    this.#events.push(document);
    if (this.#events.length > this.#kept) this.#events = this.#events.slice(-this.#kept);
    this.#wake();
    return document;
  }

  /** What came after `since`; waits for something when there is nothing, as long as was asked. */
  async read({ since, limit, wait_ms }: EventsRequest): Promise<EventsReply> {
    if (since >= this.#last && wait_ms > 0 && !this.#closed) await this.#wait(wait_ms);
    return this.#after(since, limit);
  }

  /** Answers all who wait; later reads do not wait. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #after(since: number, limit: number): EventsReply {
    const events: EventDocument[] = [];
    let characters = 0;
    for (const event of this.#events) {
      if (event.sequence <= since) continue;
      characters += JSON.stringify(event).length;
      const full = events.length === limit || characters > REPLY_CHARACTERS_MAX;
      if (full && events.length > 0) break;
      events.push(event);
    }
    const first = this.#events[0]?.sequence ?? this.#last + 1;
    // A number beyond the last one is from another server of this stack.
    const last = events.at(-1)?.sequence ?? this.#last;
    return { events, last, missed: Math.max(0, first - 1 - since) };
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiting.add(done);
    });
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }
}
