/**
 * `bandstand events [NAME]`: what has happened, and with --follow what happens.     (control plane)
 *
 * A server keeps its last thousand events; older ones are in its log. Following ends with the
 * server, with the reader (EPIPE) or with an interrupt; without a name it follows the stacks that
 * run when it starts.
 */

import { BandstandError } from '../../block/errors.ts';
import { call } from '../../control/client.ts';
import {
  EVENTS_WAIT_MS_MAX,
  type EventDocument,
  type EventsReply,
} from '../../control/schema-events.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { notRunning } from '../ask-server.ts';
import type { Command, CommandResult } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { readStatus, stackNames } from '../known-stacks.ts';
import { findRunning, readEvents } from '../read-events.ts';
import { printable } from '../table.ts';

const SCHEMA = 'bandstand.event/1';

interface Source {
  readonly name: string;
  readonly socket: string;
}

export const events: Command = {
  name: 'events',
  summary: 'Shows what has happened to a running stack, or to all of them.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [
    { name: 'follow', kind: 'flag', summary: 'go on with what happens, until interrupted' },
  ],
  examples: [
    ['events tank -v', 'shows the last events of tank, with reasons and advice'],
    ['events --follow --json', 'prints one JSON line for each event of all stacks'],
  ],
  async run(context, args) {
    const name = args.optionalPositional('NAME');
    const sources = await findSources(context, name);
    const format = args.flag('json') ? jsonLine : args.flag('plain') ? plainLine : textLines;
    const print = (event: EventDocument): void => {
      context.streams.stdout.write(
        format(event, { verbose: context.verbose, named: name === null }),
      );
    };
    if (sources.length === 0) context.note('no stack is running');
    const follow = args.flag('follow');
    const seen = await printKept(context, sources, print);
    if (follow) await followAll(context, sources, seen, print);
    return SILENT;
  },
};

/** Everything has been written line by line. */
const SILENT: CommandResult = {
  schema: SCHEMA,
  data: null,
  text: () => '',
  plain: () => [],
  silent: true,
};

async function findSources(context: CommandContext, name: string | null): Promise<Source[]> {
  const { directories } = context;
  if (name !== null) {
    checkStackName(name);
    const socket = await findRunning(directories, name);
    if (socket !== null) return [{ name, socket }];
    await readStatus(directories, name);
    throw notRunning(name, 'show the events of');
  }
  const found: Source[] = [];
  for (const one of stackNames(directories)) {
    const socket = await findRunning(directories, one);
    if (socket !== null) found.push({ name: one, socket });
  }
  return found;
}

/** What the servers still know, in order of time; the last number of each. */
async function printKept(
  context: CommandContext,
  sources: readonly Source[],
  print: (event: EventDocument) => void,
): Promise<number[]> {
  const all: EventDocument[] = [];
  const seen: number[] = [];
  for (const { name, socket } of sources) {
    let last = 0;
    for (;;) {
      const reply = await readEvents(socket, name, last, 0);
      if (reply === null) break;
      if (reply.missed > 0) noteMissed(context, name, reply.missed);
      all.push(...reply.events);
      last = reply.last;
      if (reply.events.length === 0) break;
    }
    seen.push(last);
  }
  all.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.sequence - b.sequence));
  for (const event of all) print(event);
  return seen;
}

function noteMissed(context: CommandContext, name: string, missed: number): void {
  context.note(`${name}: ${missed} older ${missed === 1 ? 'event is' : 'events are'} in its log`);
}

async function followAll(
  context: CommandContext,
  sources: readonly Source[],
  seen: readonly number[],
  print: (event: EventDocument) => void,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const follow = async ({ name, socket }: Source, from: number): Promise<void> => {
    let last = from;
    for (;;) {
      const reply = await readOrEnd(socket, name, last, signal);
      if (signal.aborted) return;
      if (reply === null) break;
      if (reply.missed > 0) noteMissed(context, name, reply.missed);
      for (const event of reply.events) print(event);
      last = reply.last;
    }
    context.note(`${name}: its server has ended`);
  };
  try {
    await Promise.all(sources.map((source, index) => follow(source, seen[index]!)));
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
}

/** A server that ends closes the connection: that is the end, not an error. */
async function readOrEnd(
  socket: string,
  name: string,
  since: number,
  signal: AbortSignal,
): Promise<EventsReply | null> {
  try {
    return await readEvents(socket, name, since, EVENTS_WAIT_MS_MAX, signal);
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    if ((await call(socket, 'ping', {}, { name }).catch(() => null)) === null) return null;
    throw error;
  }
}

interface Format {
  readonly verbose: boolean;
  /** The name of the stack is part of the line. */
  readonly named: boolean;
}

const INDENT = ' '.repeat('00:00:00 E '.length);

/** `09:14:02 E /dev/nvme2n1 (slot 2): …`, the time in UTC as in the log. */
export function textLines(event: EventDocument, { verbose, named }: Format): string {
  const { time, severity, stack, message, reason, action } = event;
  const letter = severity.charAt(0).toUpperCase();
  const lines = [`${time.slice(11, 19)} ${letter} ${named ? `${stack}: ` : ''}${message}`];
  if (verbose && reason !== null) lines.push(`${INDENT}reason: ${reason}`);
  if (verbose && action !== null) lines.push(`${INDENT}action: ${action}`);
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function jsonLine(event: EventDocument): string {
  return `${JSON.stringify({ schema: SCHEMA, generated_at: event.time, data: event })}\n`;
}

function plainLine(event: EventDocument): string {
  const { time, stack, sequence, severity, kind, slot, device, message } = event;
  const fields = [time, stack, sequence, severity, kind, slot, device, message];
  return `${fields.map((field) => (field === null ? '-' : printable(String(field)))).join('\t')}\n`;
}
