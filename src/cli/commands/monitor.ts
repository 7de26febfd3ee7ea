/**
 * `bandstand monitor [NAME]`: a stack on the terminal, as it goes on.               (control plane)
 *
 * Read-only, and in a process of its own: what draws a screen is never in the path of I/O. The
 * screen (Ink, React) is loaded only here, and only where there is a terminal for it; elsewhere,
 * with --plain, and for a screen reader, lines are printed.
 */

import { BandstandError } from '../../block/errors.ts';
import { DURATION_HINT, parseDuration } from '../../block/quantities.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command, CommandResult } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { isColoured } from '../is-coloured.ts';
import { readStatus, stackNames } from '../known-stacks.ts';
import { StackSource } from '../monitor-source.ts';
import { envelope } from '../render.ts';

const INTERVAL_MS_DEFAULT = 2000;
const INTERVAL_MS_MIN = 500;
const INTERVAL_MS_MAX = 10_000;
/** A look that takes longer is shown as no answer. */
const LOOK_TIMEOUT_MS = 5000;
/** As in src/tui/glyphs.ts, which is not loaded only to refuse a word. */
const GLYPH_SETS = ['unicode', 'braille', 'ascii'] as const;

export const monitor: Command = {
  name: 'monitor',
  summary: 'Shows a stack on the terminal as it goes on: health, progress, space, I/O, events.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [
    { name: 'interval', kind: 'text', value: 'T', summary: 'look every T, 0.5 s to 10 s (2 s)' },
    {
      name: 'glyphs',
      kind: 'text',
      value: 'SET',
      summary: 'draw with unicode, braille or ascii',
    },
    {
      name: 'screen-reader',
      kind: 'flag',
      summary: 'sentences when something changes, no screen',
    },
  ],
  examples: [
    ['monitor tank', 'shows tank until q is pressed; tank keeps running'],
    ['monitor --plain | tee tank.log', 'prints a line for each stack every two seconds'],
  ],
  async run(context, args) {
    const intervalMs = intervalOf(args.text('interval'));
    const glyphs = args.oneOf('glyphs', GLYPH_SETS);
    const names = await chooseNames(context, args.optionalPositional('NAME'));
    const { stdin, stdout } = context.streams;
    const isSpoken = args.flag('screen-reader') || process.env['INK_SCREEN_READER'] === 'true';
    const isDrawn = stdout.isTTY === true && process.env['TERM'] !== 'dumb' && !isSpoken;
    if (!isDrawn || context.json || args.flag('plain')) {
      await printLines(context, args, names, intervalMs, isSpoken);
      return SILENT;
    }
    const { runMonitor } = await import('../../tui/monitor.tsx');
    const { likelyGlyphs } = await import('../../tui/glyphs.ts');
    const source = new StackSource(context.directories, lookTimeoutMs(context));
    const { lastWords } = await runMonitor(source, {
      names,
      intervalMs,
      glyphs: glyphs ?? likelyGlyphs(process.env),
      isColoured: isColoured(args),
      streams: { stdin, stdout },
      withServer: false,
    });
    context.note(lastWords);
    return SILENT;
  },
};

/** Everything has been shown. */
const SILENT: CommandResult = {
  schema: 'bandstand.status/1',
  data: null,
  text: () => '',
  plain: () => [],
  silent: true,
};

function intervalOf(text: string | null): number {
  if (text === null) return INTERVAL_MS_DEFAULT;
  const ms = parseDuration(text);
  if (ms === null || ms < INTERVAL_MS_MIN || ms > INTERVAL_MS_MAX) {
    throw usageError(
      `cannot use --interval '${text}': it is not a duration from 0.5 s to 10 s`,
      DURATION_HINT,
    );
  }
  return ms;
}

function lookTimeoutMs({ timeoutMs }: CommandContext): number {
  return timeoutMs ?? LOOK_TIMEOUT_MS;
}

/** With a name that one, which has to be known; else all, those that run first. */
async function chooseNames(context: CommandContext, name: string | null): Promise<string[]> {
  const { directories } = context;
  if (name !== null) {
    checkStackName(name);
    await known(context, name);
    return [name];
  }
  const names = stackNames(directories);
  if (names.length === 0) {
    throw new BandstandError('BANDSTAND_STACK_NOT_FOUND', {
      message: `cannot monitor anything: ${directories.stateDir} knows no stacks`,
      hint: 'make one with bandstand create',
      details: { state_dir: directories.stateDir },
    });
  }
  const running = await Promise.all(names.map((one) => known(context, one)));
  return [
    ...names.filter((_, index) => running[index]),
    ...names.filter((_, index) => !running[index]),
  ];
}

/** Whether it runs. One that does not answer does; the monitor shows what is wrong with it. */
async function known(context: CommandContext, name: string): Promise<boolean> {
  try {
    const status = await readStatus(context.directories, name, lookTimeoutMs(context));
    return status.server !== null;
  } catch (error) {
    if (!(error instanceof BandstandError) || error.code === 'BANDSTAND_STACK_NOT_FOUND') {
      throw error;
    }
    return true;
  }
}

async function printLines(
  context: CommandContext,
  args: Arguments,
  names: readonly string[],
  intervalMs: number,
  isSpoken: boolean,
): Promise<void> {
  const { directories, json, streams } = context;
  const controller = new AbortController();
  const { signal } = controller;
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const { runLines } = await import('../../tui/monitor-lines.ts');
    await runLines({
      names,
      intervalMs,
      voice: json ? 'json' : isSpoken && !args.flag('plain') ? 'sentences' : 'lines',
      sourceOf: () => new StackSource(directories, lookTimeoutMs(context)),
      envelope: (status) => envelope('bandstand.status/1', status),
      write: (text) => streams.stdout.write(text),
      signal,
    });
  } finally {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
}
