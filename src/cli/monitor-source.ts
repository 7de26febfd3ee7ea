/**
 * What the monitor looks at: the status of a stack, and its new events.             (control plane)
 *
 * Over the status socket, so no root is needed; a stack without a server has its remembered status.
 * Events are numbered by a server: those of the next one begin anew, and are told apart by when it
 * was started.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { EventDocument } from '../control/schema-events.ts';
import { type Directories, readableDirectories, stackPaths } from '../stack/directories.ts';
import { readStatus } from './known-stacks.ts';
import { readEvents } from './read-events.ts';

export interface StackLook {
  readonly status: StatusDocument;
  readonly events: readonly EventDocument[];
  readonly missed: number;
}

export class StackSource {
  readonly #directories: Directories;
  readonly #timeoutMs: number;
  /** When the server was started whose events are known, and the number of the last one. */
  #startedAt: string | null = null;
  #last = 0;

  constructor(directories: Directories, timeoutMs: number) {
    this.#directories = directories;
    this.#timeoutMs = timeoutMs;
  }

  forget(): void {
    this.#startedAt = null;
    this.#last = 0;
  }

  /** Throws what reading the status throws. */
  async look(name: string, signal: AbortSignal): Promise<StackLook> {
    const status = await readStatus(this.#directories, name, this.#timeoutMs, signal);
    const startedAt = status.server?.started_at ?? null;
    if (startedAt === null) return { status, events: [], missed: 0 };
    if (startedAt !== this.#startedAt) this.#last = 0;
    this.#startedAt = startedAt;
    const { events, missed } = await this.#news(name, signal);
    return { status, events, missed };
  }

  async #news(
    name: string,
    signal: AbortSignal,
  ): Promise<{ events: readonly EventDocument[]; missed: number }> {
    for (const { runDir } of readableDirectories(this.#directories)) {
      const { statusSocket } = stackPaths(runDir, name);
      const reply = await readEvents(statusSocket, name, this.#last, 0, signal);
      if (reply === null) continue;
      this.#last = reply.last;
      return reply;
    }
    // It has ended between the two questions; the next look says so.
    return { events: [], missed: 0 };
  }
}
