/**
 * `bandstand check NAME --rebuild-map`: the map of an FTL made anew, after asking.  (control plane)
 *
 * For a map that cannot be read any more. It may bring back what was trimmed, so it is confirmed,
 * by typing the name on a terminal or by --yes in scripts; a stack that runs does not need it.
 */

import { BandstandError } from '../block/errors.ts';
import { formatCount } from '../block/quantities.ts';
import { bufferFile } from '../stack/buffer-file.ts';
import { type RebuiltMap, rebuildMap, withoutMap } from '../stack/rebuild-map.ts';
import type { StackEvent, StackPlan } from '../stack/worker-messages.ts';
import type { Arguments } from './arguments.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './command-context.ts';
import { runningStatus } from './known-stacks.ts';
import { MeteredWork } from './metered-work.ts';
import { arenaBytesFor } from './server-memory.ts';
import { eventOf } from './stack-events.ts';

const WARNING =
  'blocks that were trimmed may show again with what they had: the units do not know all trims';
/** Something could not be restored, or not as it was. */
const EXIT_FINDINGS = 4;

export async function rebuildStopped(
  context: CommandContext,
  args: Arguments,
  plan: StackPlan,
): Promise<CommandResult> {
  const { name, remembered } = plan;
  const { runDir } = context.directories;
  if ((await runningStatus(runDir, name, context.timeoutMs ?? undefined)) !== null) {
    throw new BandstandError('BANDSTAND_STACK_RUNNING', {
      message: `cannot rebuild the map of ${name}: it is running, so its map is as it should be`,
      hint: `stop it first: bandstand stop ${name}`,
      details: { name },
    });
  }
  if (remembered?.ftl === false) throw withoutMap(name);
  await confirm(context, args, name);
  const requests = [{ via: 'nbd' as const, nbd: null, queues: null, depth: null }];
  const arenaBytes = arenaBytesFor({ remembered, requests, bufferSurvives: false });
  const discardBuffer = args.flag('discard-buffer');
  const strict = { ...plan, degraded: false, discardBuffer };
  const work = new MeteredWork(context, name);
  const hear = (event: StackEvent): void => {
    if (event.event === 'step-started') work.tell(event.step);
    const told = eventOf(event, name);
    if (told !== null && told.severity !== 'info') context.note(`note: ${told.message}`);
  };
  const buffer = bufferFile(plan, runDir);
  const rebuilt = await rebuildMap(strict, arenaBytes, buffer, hear, work).finally(() =>
    context.progress.end(),
  );
  const { outdatedBlocks, usedBlocks, wrongBlocks } = rebuilt;
  return {
    schema: 'bandstand.check/1',
    data: {
      name,
      action: 'rebuild-map',
      used_blocks: usedBlocks,
      outdated_blocks: outdatedBlocks,
      lost_blocks: wrongBlocks,
      warning: WARNING,
    },
    text: () => rebuiltText(rebuilt),
    plain: () => [[name, 'rebuild-map', usedBlocks, outdatedBlocks, wrongBlocks]],
    exitStatus: outdatedBlocks + wrongBlocks === 0 ? 0 : EXIT_FINDINGS,
  };
}

async function confirm(context: CommandContext, args: Arguments, name: string): Promise<void> {
  if (args.flag('yes')) return;
  const refuse = (why: string, hint: string): never => {
    throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
      message: `cannot rebuild the map of ${name}: ${why}`,
      hint,
      details: { name },
    });
  };
  if (!context.interactive) {
    refuse(`${WARNING}, and nobody can be asked`, 'repeat the command with --yes');
  }
  context.note(`The map of ${name} is thrown away and made anew; ${WARNING}.`);
  const answer = await context.ask(`Type ${name} to do it: `);
  if (answer !== name) refuse(`the answer was '${answer}'`, 'nothing was written');
}

export function rebuiltText({ name, ...counts }: RebuiltMap): string {
  const { outdatedBlocks, usedBlocks, wrongBlocks } = counts;
  const lines = [`${name}: the map is made anew; ${blocks(usedBlocks)} are in use`];
  if (outdatedBlocks > 0) {
    lines.push(
      `  ${blocks(outdatedBlocks)} had a newer copy that was never completed or has rotted; now the one before it counts`,
    );
  }
  if (wrongBlocks > 0) {
    lines.push(`  ${blocks(wrongBlocks)} are right nowhere: bandstand check ${name} names them`);
  }
  lines.push(`  ${WARNING}`);
  return lines.join('\n');
}

function blocks(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}
