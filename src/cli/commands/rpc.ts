/**
 * `bandstand rpc NAME METHOD [PARAMS]`: one request to the server of a stack.       (control plane)
 *
 * For scripts: the protocol of the control sockets (bandstand-control(7)) without a socket of one's
 * own. What only reads goes to the status socket, which everyone may use. What is between servers
 * is not sent: it would leave the clients of a stack to nobody.
 */

import type { BandstandError } from '../../block/errors.ts';
import { call } from '../../control/client.ts';
import {
  isMethod,
  isRecord,
  kindOfMethod,
  METHODS,
  type Method,
  unknownParam,
} from '../../control/schema.ts';
import { REQUEST_BYTES_MAX } from '../../control/schema-message.ts';
import { stackPaths } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { usageError } from '../arguments.ts';
import { refuseUnanswered } from '../ask-server.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { findRunning } from '../read-events.ts';
import { suggest } from '../suggest.ts';
import { printable } from '../table.ts';

/** As for the verbs: changes wait for flushes and metadata on every member. */
const TIMEOUT_MS_DEFAULT = 60_000;
const PARAMS_HINT = `write an object within quotes, '{"dry_run": true}', or - for standard input`;

export const PUBLIC_METHODS: readonly Method[] = Object.keys(METHODS)
  .filter(isMethod)
  .filter((method) => kindOfMethod(method) !== 'internal');

type Params = Readonly<Record<string, unknown>>;

export const rpc: Command = {
  name: 'rpc',
  summary: 'Sends a request to the server of a running stack, and prints its result as JSON.',
  positionals: [
    { name: 'NAME', required: true, many: false },
    { name: 'METHOD', required: true, many: false, words: PUBLIC_METHODS },
    { name: 'PARAMS', required: false, many: false, words: ['-'] },
  ],
  options: [],
  examples: [
    ['rpc tank status', 'prints what the server knows of tank'],
    [`rpc tank events '{"since": 12, "wait_ms": 20000}'`, 'waits for what comes after event 12'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const method = publicMethod(name, args.positional('METHOD'));
    const params = parseParams(await paramsText(context, args.optionalPositional('PARAMS')));
    refuseUnknown(method, params);
    const result =
      kindOfMethod(method) === 'read'
        ? await read(context, name, method, params)
        : await change(context, name, method, params);
    return {
      schema: 'bandstand.rpc/1',
      data: { name, method, result },
      text: () => safeJson(result),
      plain: () => leaves(result, ''),
    };
  },
};

function publicMethod(name: string, word: string): Method {
  if (isMethod(word)) {
    if (kindOfMethod(word) !== 'internal') return word;
    throw usageError(
      `cannot call ${word}: it ends the server of ${name}, and leaves its clients to the next one`,
      `replace the server: bandstand upgrade ${name}`,
    );
  }
  const near = suggest(word, PUBLIC_METHODS);
  throw usageError(
    `cannot call '${printable(word)}': there is no such method`,
    near === null ? 'see bandstand-control(7)' : `did you mean ${near}?`,
  );
}

async function paramsText(context: CommandContext, word: string | null): Promise<string> {
  if (word !== '-') return word ?? '{}';
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of context.streams.stdin) {
    const piece = Buffer.from(chunk as Buffer | string);
    bytes += piece.length;
    if (bytes > REQUEST_BYTES_MAX) throw tooLong();
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseParams(text: string): Params {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw usageError(`cannot use PARAMS '${beginning(text)}': it is not JSON`, PARAMS_HINT);
  }
  if (!isRecord(value)) {
    throw usageError(`cannot use PARAMS '${beginning(text)}': it is no object`, PARAMS_HINT);
  }
  // With room for what is around them on the line.
  if (Buffer.byteLength(JSON.stringify(value)) > REQUEST_BYTES_MAX - 1024) throw tooLong();
  return value;
}

/** The server does, too; one of an earlier build takes no notice, and does more than was meant. */
function refuseUnknown(method: Method, params: Params): void {
  const unknown = unknownParam(method, params);
  if (unknown === null) return;
  const near = suggest(unknown, METHODS[method].params);
  throw usageError(
    `cannot call ${method}: it has no param '${beginning(unknown)}'`,
    near === null ? 'see bandstand-control(7)' : `did you mean ${near}?`,
  );
}

function beginning(text: string): string {
  const most = 60;
  return printable(text.length > most ? `${text.slice(0, most)}…` : text);
}

function tooLong(): BandstandError {
  const most = REQUEST_BYTES_MAX / 1024 - 1;
  return usageError(
    `cannot use PARAMS: they have more than ${most} KiB`,
    'see bandstand-control(7)',
  );
}

/** Also of stacks of root, like all verbs that only look. */
async function read(
  context: CommandContext,
  name: string,
  method: Method,
  params: Params,
): Promise<unknown> {
  const socket = await findRunning(context.directories, name);
  return socket === null
    ? await refuse(context, name)
    : await ask(context, socket, name, method, params);
}

async function change(
  context: CommandContext,
  name: string,
  method: Method,
  params: Params,
): Promise<unknown> {
  const { runDir } = context.directories;
  const { controlSocket } = stackPaths(runDir, name);
  // It brings much of the data path with it, and is loaded for what needs it only.
  const { guardRequest } = await import('../request-guards.ts');
  const guarded = await guardRequest({ runDir, name, controlSocket }, method, params);
  return await ask(context, controlSocket, name, method, guarded);
}

async function ask(
  context: CommandContext,
  socket: string,
  name: string,
  method: Method,
  params: Params,
): Promise<unknown> {
  const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const answer = await call(socket, method, params, { name, timeoutMs });
  return answer === null ? await refuse(context, name) : answer.result;
}

function refuse({ directories, timeoutMs }: CommandContext, name: string): Promise<never> {
  return refuseUnanswered(directories, name, 'ask the server of', timeoutMs ?? undefined);
}

/** With everything escaped that a terminal could take for more than text. */
function safeJson(value: unknown): string {
  const asEscape = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, null, 2).replaceAll(/[\u007f-\u009f\u2028-\u202e]/g, asEscape);
}

type Leaf = readonly [path: string, value: string | number | null];

/** A record for each value that is no list or object: `array.members.0.device`, `/dev/sdb`. */
function leaves(value: unknown, path: string): Leaf[] {
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, one]) =>
      leaves(one, path === '' ? key : `${path}.${key}`),
    );
  }
  const isPlain = value === null || typeof value === 'string' || typeof value === 'number';
  return [[path, isPlain ? value : String(value)]];
}
