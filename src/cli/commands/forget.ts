/**
 * `bandstand forget NAME`: this machine remembers a stack no longer.                (control plane)
 *
 * For stacks whose members are gone for good, or that somebody else has now. Devices are not
 * touched: whoever has them has the stack, and the result says with which command. What no device
 * has is lost, and so has to be confirmed: an array without metadata, a state file that cannot be
 * read, and, by an option of its own, writes in the buffer of a killed server.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../../block/errors.ts';
import { formatSize } from '../../block/quantities.ts';
import { rememberedDevices } from '../../stack/remaining-devices.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import type { RememberedStack } from '../../stack/state-store.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { type Command, type CommandResult, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { notFound } from '../known-stacks.ts';
import {
  forgetTraces,
  refuseForgetting,
  removedPaths,
  type StackTraces,
  tracesOf,
} from '../stack-traces.ts';

export const forget: Command = {
  name: 'forget',
  summary: 'Removes what this machine remembers of a stack that does not run; its devices stay.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    DRY_RUN,
    {
      name: 'discard-buffer',
      kind: 'flag',
      summary: 'give up the write buffer of a killed server',
    },
    { name: 'confirm', kind: 'text', value: 'NAME', summary: 'lose what no device has, unasked' },
    { name: 'yes', kind: 'flag', summary: 'the same without the name' },
  ],
  examples: [
    ['forget tank', 'its members are gone for good, and the name is free again'],
    ['forget tank --dry-run', 'shows what would be removed'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const confirmed = args.text('confirm');
    if (confirmed !== null && confirmed !== name) {
      throw usageError(
        `cannot forget ${name}: --confirm says '${confirmed}'`,
        'write the same name twice',
      );
    }
    const traces = tracesOf(context.directories, name);
    if (traces === null) throw notFound(context.directories, name);
    const discardBuffer = args.flag('discard-buffer');
    refuseForgetting(traces, discardBuffer);
    if (args.flag('dry-run')) return result(traces, removedPaths(traces), true);
    await confirm(context, args, traces);
    return result(traces, forgetTraces(traces, discardBuffer), false);
  },
};

/** What no device has, in words; []: nothing is lost. */
function lossesOf({ buffer, remembered, stateFile }: StackTraces): string[] {
  const losses: string[] = [];
  if (remembered === null && stateFile !== null) {
    losses.push(`what ${stateFile} says, which cannot be read`);
  }
  if (remembered?.superblock === false) losses.push(layoutText(remembered));
  if (buffer !== null) losses.push(`writes that a killed server had answered, in ${buffer}`);
  return losses;
}

/** All that is known of an array without metadata, for whoever wants to note it. */
function layoutText({ level, members, stripBytes }: RememberedStack): string {
  const strip = stripBytes === 0 ? '' : `, strip ${formatSize(stripBytes)}`;
  const paths = members.map(({ path }) => path).join(', ');
  return `how its members make an array, which nothing on them says: ${level}${strip}, ${paths}`;
}

/** Throws BANDSTAND_NOT_CONFIRMED. */
async function confirm(
  context: CommandContext,
  args: Arguments,
  traces: StackTraces,
): Promise<void> {
  const { name } = traces;
  const losses = lossesOf(traces);
  if (losses.length === 0 || args.flag('yes') || args.text('confirm') !== null) return;
  const refuse = (why: string, hint: string): never => {
    throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
      message: `cannot forget ${name}: ${why}`,
      hint,
      details: { name, losses },
    });
  };
  if (!context.interactive) {
    const hint = `repeat the command with --confirm ${name}`;
    refuse(`this would be lost, and nobody can be asked: ${losses.join('; ')}`, hint);
  }
  for (const loss of losses) context.note(`would be lost: ${loss}`);
  const answer = await context.ask(`Type ${name} to forget it: `);
  if (answer !== name) refuse(`the answer was '${answer}'`, 'nothing was changed');
}

/** What brings the stack back, from those of its devices that are here; null: nothing does. */
export function takeBackCommand(stack: RememberedStack): string | null {
  if (!stack.superblock) return null;
  const here = rememberedDevices(stack).filter(({ device }) => existsSync(device));
  const caches = here.filter(({ role }) => role === 'cache').map(({ device }) => device);
  const devices = here.filter(({ role }) => role !== 'cache').map(({ device }) => device);
  if (!here.some(({ role }) => role === 'member')) return null;
  return [
    `bandstand export ${stack.name}`,
    ...devices.map((device) => `--device ${device}`),
    ...(caches.length === 0 ? [] : [`--cache ${caches.join(',')}`]),
  ].join(' ');
}

function result(traces: StackTraces, removed: readonly string[], dryRun: boolean): CommandResult {
  const { name, remembered } = traces;
  const losses = lossesOf(traces);
  const takeBack = remembered === null ? null : takeBackCommand(remembered);
  const uuid = remembered?.uuid ?? null;
  return {
    schema: 'bandstand.forget/1',
    data: { dry_run: dryRun, name, uuid, removed, losses, take_back: takeBack },
    text: () =>
      [
        `${dryRun ? 'would forget' : 'forgot'} ${name}${uuid === null ? '' : ` (${uuid})`}; no device was written to`,
        ...removed.map((path) => `  ${dryRun ? 'would remove' : 'removed'} ${path}`),
        ...losses.map((loss) => `  ${dryRun ? 'would be lost' : 'lost'}: ${loss}`),
        ...(takeBack === null ? [] : [`  to have it back: ${takeBack}`]),
      ].join('\n'),
    plain: () => [[name, uuid, takeBack], ...removed.map((path) => ['removed', path])],
  };
}
