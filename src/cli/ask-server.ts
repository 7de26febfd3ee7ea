/**
 * Asks the server of a stack to do something; it has to run.                        (control plane)
 *
 * A stack that is known and not running, one that nobody knows, and one that runs for somebody else
 * are different mistakes.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import { call, protocolError } from '../control/client.ts';
import type { Decoded, Method } from '../control/schema.ts';
import { type Directories, stackPaths } from '../stack/directories.ts';
import { checkStackName } from '../stack/stack-name.ts';
import type { CommandContext } from './command-context.ts';
import { readStatus } from './known-stacks.ts';

/** Changes wait for flushes and metadata on every member. */
const TIMEOUT_MS_DEFAULT = 60_000;

/** Throws what the server reports, BANDSTAND_STACK_NOT_RUNNING or _NOT_FOUND. */
export async function askServer<T>(
  context: CommandContext,
  name: string,
  verb: string,
  method: Method,
  params: object,
  decode: (value: unknown) => Decoded<T>,
  timeoutMsDefault = TIMEOUT_MS_DEFAULT,
): Promise<T> {
  checkStackName(name);
  const { controlSocket } = stackPaths(context.directories.runDir, name);
  const timeoutMs = context.timeoutMs ?? timeoutMsDefault;
  const answer = await call(controlSocket, method, { ...params }, { name, timeoutMs });
  if (answer === null) return await refuseUnanswered(context.directories, name, verb, timeoutMs);
  const reply = decode(answer.result);
  if ('why' in reply) throw protocolError(name, reply.why);
  return reply.value;
}

/** No server listens where one that may be told to change something would. */
export async function refuseUnanswered(
  directories: Directories,
  name: string,
  verb: string,
  timeoutMs?: number,
): Promise<never> {
  const { server } = await readStatus(directories, name, timeoutMs);
  const { controlSocket } = stackPaths(directories.runDir, name);
  if (server === null || existsSync(controlSocket)) throw notRunning(name, verb);
  throw new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot ${verb} ${name}: its server (pid ${server.pid}) is that of another user`,
    hint: 'run it with sudo',
    details: { name, pid: server.pid },
  });
}

export function notRunning(name: string, verb: string): BandstandError {
  return new BandstandError('BANDSTAND_STACK_NOT_RUNNING', {
    message: `cannot ${verb} ${name}: it is not running`,
    hint: `start it first: bandstand export ${name}`,
    details: { name },
  });
}
