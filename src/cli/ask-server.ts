/**
 * Asks the server of a stack to do something; it has to run.                        (control plane)
 *
 * A stack that is known and not running, and one that nobody knows, are different mistakes.
 */

import { BandstandError } from '../block/errors.ts';
import { call, protocolError } from '../control/client.ts';
import type { Decoded, Method } from '../control/schema.ts';
import { stackPaths } from '../stack/directories.ts';
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
  if (answer === null) {
    await readStatus(context.directories, name, timeoutMs);
    throw notRunning(name, verb);
  }
  const reply = decode(answer.result);
  if ('why' in reply) throw protocolError(name, reply.why);
  return reply.value;
}

export function notRunning(name: string, verb: string): BandstandError {
  return new BandstandError('BANDSTAND_STACK_NOT_RUNNING', {
    message: `cannot ${verb} ${name}: it is not running`,
    hint: `start it first: bandstand export ${name}`,
    details: { name },
  });
}
