/**
 * Events of a running stack, asked over its status socket.                          (control plane)
 */

import { call, protocolError } from '../control/client.ts';
import {
  decodeEventsReply,
  EVENTS_LIMIT_MAX,
  EVENTS_WAIT_MS_MAX,
  type EventsReply,
} from '../control/schema-events.ts';
import { type Directories, readableDirectories, stackPaths } from '../stack/directories.ts';

/** What an answer may take beyond the time that the server was asked to wait. */
const ANSWER_MS = 10_000;

/** The status socket of the stack where it runs, or null. */
export async function findRunning(directories: Directories, name: string): Promise<string | null> {
  for (const { runDir } of readableDirectories(directories)) {
    const { statusSocket } = stackPaths(runDir, name);
    if ((await call(statusSocket, 'ping', {}, { name })) !== null) return statusSocket;
  }
  return null;
}

/** What came after `since`; null when the server has gone or `signal` says stop. */
export async function readEvents(
  socket: string,
  name: string,
  since: number,
  waitMs: number,
  signal?: AbortSignal,
): Promise<EventsReply | null> {
  const wait_ms = Math.min(waitMs, EVENTS_WAIT_MS_MAX);
  const params = { since, limit: EVENTS_LIMIT_MAX, wait_ms };
  const timeoutMs = wait_ms + ANSWER_MS;
  const options = { name, timeoutMs, ...(signal === undefined ? {} : { signal }) };
  const answer = await call(socket, 'events', params, options);
  if (answer === null) return null;
  const reply = decodeEventsReply(answer.result);
  if ('why' in reply) throw protocolError(name, reply.why);
  return reply.value;
}
