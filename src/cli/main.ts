/**
 * The command line: words in, one result on stdout, an exit status out.             (control plane)
 *
 * Finds the verb, loads its module, parses, runs, prints. All printing to stdout of all verbs
 * happens here: as the JSON envelope, as plain records, or as text rendered from the same data.
 * Errors become one message on stderr; with --json stdout stays empty and the message is one JSON
 * line.
 */

import { BandstandError } from '../block/errors.ts';
import { chooseDirectories } from '../stack/directories.ts';
import { type Arguments, parseArguments, usageError } from './arguments.ts';
import { COLORS, COMMON_OPTIONS, type Command } from './command.ts';
import { CommandContext, type Streams } from './command-context.ts';
import { COMMANDS } from './command-table.ts';
import { commandHelp, programHelp } from './help.ts';
import { render } from './render.ts';
import { errorJson, errorText, exitStatusOf } from './report-error.ts';
import { suggest } from './suggest.ts';
import { printable } from './table.ts';
import { version } from './version.ts';

/** Runs one command line (without `node` and the script); resolves with the exit status. */
export async function main(
  words: readonly string[],
  streams: Streams = process as unknown as Streams,
): Promise<number> {
  endQuietlyWhenReaderIsGone(streams.stdout, words);
  try {
    return await dispatch(words, streams);
  } catch (error) {
    streams.stderr.write(errorFor(words, error));
    return exitStatusOf(error);
  }
}

function errorFor(words: readonly string[], error: unknown): string {
  const json = before(words, '--').some((word) => word === '--json' || word === '-j');
  return json ? errorJson(error) : errorText(error);
}

async function dispatch(words: readonly string[], streams: Streams): Promise<number> {
  const options = before(words, '--');
  const at = findVerb(words);
  if (at === -1) {
    if (options.includes('--version') || options.includes('-V')) {
      return print(streams, `bandstand ${version()}\n`);
    }
    if (options.includes('--help') || options.includes('-h') || words.length === 0) {
      const help = `${programHelp(COMMANDS)}\n`;
      if (words.length > 0) return print(streams, help);
      streams.stderr.write(help);
      return 2;
    }
    throw usageError('cannot do anything: no verb was given', 'see bandstand --help');
  }
  const verb = words[at]!;
  if (verb === 'help') return await helpFor(words.slice(at + 1), streams);
  const command = await loadVerb(verb);
  const rest = [...words.slice(0, at), ...words.slice(at + 1)];
  if (before(rest, '--').some((word) => word === '--help' || word === '-h')) {
    return print(streams, `${commandHelp(command)}\n`);
  }
  if (before(rest, '--').some((word) => word === '--version' || word === '-V')) {
    return print(streams, `bandstand ${version()}\n`);
  }
  const args = parseArguments(command, rest);
  const context = makeContext(args, streams);
  const result = await command.run(context, args);
  if (result.silent !== true) await write(streams, render(result, args));
  return result.exitStatus ?? 0;
}

async function helpFor(words: readonly string[], streams: Streams): Promise<number> {
  const verb = words.find((word) => !word.startsWith('-'));
  if (verb === undefined) return print(streams, `${programHelp(COMMANDS)}\n`);
  return print(streams, `${commandHelp(await loadVerb(verb))}\n`);
}

async function loadVerb(verb: string): Promise<Command> {
  const entry = COMMANDS.find((candidate) => candidate.name === verb);
  if (entry !== undefined) return await entry.load();
  const near = suggest(
    verb,
    COMMANDS.map((candidate) => candidate.name),
  );
  throw usageError(
    `cannot do '${printable(verb)}': there is no such verb`,
    near === null ? 'see bandstand --help' : `did you mean ${near}?`,
  );
}

/**
 * Index of the verb: the first word that is neither an option nor a common option's value. Options
 * of the verb may stand before it, so a word after an unknown option counts only if it is a verb.
 */
function findVerb(words: readonly string[]): number {
  const valued = COMMON_OPTIONS.filter((spec) => spec.kind !== 'flag').map((spec) => spec.name);
  const flags = COMMON_OPTIONS.filter((spec) => spec.kind === 'flag').map((spec) => spec.name);
  let first = -1;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    if (word === '--') return first;
    if (word.startsWith('-') && word !== '-') continue;
    const previous = words[index - 1]?.match(/^--(?:no-)?([^=]+)$/)?.[1];
    if (previous !== undefined && valued.includes(previous)) continue;
    const isVerb = word === 'help' || COMMANDS.some((entry) => entry.name === word);
    if (isVerb) return index;
    if (previous === undefined || flags.includes(previous)) return first === -1 ? index : first;
    if (first === -1) first = index;
  }
  return first;
}

function makeContext(args: Arguments, streams: Streams): CommandContext {
  const color = args.oneOf('color', COLORS);
  if (color === 'never') process.env['NO_COLOR'] = '1';
  if (color === 'always') process.env['FORCE_COLOR'] = '1';
  if (args.flag('json') && args.flag('plain')) {
    throw usageError('cannot use --json and --plain together', 'choose one of them');
  }
  return new CommandContext({
    streams,
    directories: chooseDirectories({
      runDir: args.text('run-dir'),
      stateDir: args.text('state-dir'),
    }),
    json: args.flag('json'),
    quiet: args.flag('quiet'),
    verbose: args.flag('verbose'),
    input: args.choice('input') !== false,
    timeoutMs: args.durationMs('timeout'),
  });
}

function before(words: readonly string[], end: string): readonly string[] {
  const at = words.indexOf(end);
  return at === -1 ? words : words.slice(0, at);
}

async function print(streams: Streams, text: string): Promise<number> {
  await write(streams, text);
  return 0;
}

function write(streams: Streams, text: string): Promise<void> {
  if (text === '') return Promise.resolve();
  return new Promise((resolve) => streams.stdout.write(text, () => resolve()));
}

/** `bandstand list | head -1`: the reader has what it wanted; Node would throw EPIPE. */
function endQuietlyWhenReaderIsGone(stdout: NodeJS.WriteStream, words: readonly string[]): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    const failure = new BandstandError('BANDSTAND_OUTPUT', {
      message: `cannot write to standard output: ${error.code ?? error.message}`,
      hint: 'look whether the disk that it goes to is full',
      cause: error,
    });
    process.stderr.write(errorFor(words, failure));
    process.exit(1);
  });
}
