/**
 * `export --discard-cache`: what is lost is listed first, and has to be confirmed.  (control plane)
 *
 * By typing the name of the stack on a terminal, by --yes in scripts. Where nothing is
 * lost nobody is asked. With --dry-run the list is all there is.
 */

import { BandstandError } from '../block/errors.ts';
import { formatCount, formatSize } from '../block/quantities.ts';
import { type CacheLoss, cacheLoss, LOSS_BLOCK_BYTES } from '../stack/cache-loss.ts';
import { withRing } from '../stack/offline-ring.ts';
import type { StackPlan } from '../stack/worker-messages.ts';
import type { Arguments } from './arguments.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './command-context.ts';
import { MeteredWork } from './metered-work.ts';
import { arenaBytesFor } from './server-memory.ts';

/** Ranges in the text; JSON has more. */
const RANGES_SHOWN = 16;

/** What would be lost with the cache of a stack that does not run; null: it has none. */
export async function findLoss(
  context: CommandContext,
  plan: StackPlan,
): Promise<CacheLoss | null> {
  const requests = [{ via: 'nbd' as const, nbd: null, queues: null, depth: null }];
  const { remembered } = plan;
  const arenaBytes = arenaBytesFor({ remembered, requests, bufferSurvives: false });
  const watch = new MeteredWork(context, plan.name);
  try {
    return await withRing((ring) => cacheLoss(ring, plan, watch), arenaBytes);
  } finally {
    context.progress.end();
  }
}

/** Throws BANDSTAND_NOT_CONFIRMED. */
export async function confirmLoss(
  context: CommandContext,
  args: Arguments,
  name: string,
  loss: CacheLoss | null,
): Promise<void> {
  if (loss === null || isNothing(loss)) return;
  for (const line of lossLines(name, loss)) context.note(line);
  if (args.flag('yes')) return;
  const refuse = (why: string, hint: string): never => {
    throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
      message: `cannot give up the NV cache of ${name}: ${why}`,
      hint,
      details: { name, ...lossJson(loss) },
    });
  };
  if (!context.interactive) {
    const what = loss.blocks === null ? 'what it had is lost' : `${lostText(loss)} would be lost`;
    refuse(`${what}, and nobody can be asked`, 'repeat the command with --yes');
  }
  const answer = await context.ask(`Type ${name} to give it up: `);
  if (answer !== name) refuse(`the answer was '${answer}'`, 'nothing was changed');
}

export function lossResult(name: string, loss: CacheLoss | null): CommandResult {
  return {
    schema: 'bandstand.export/1',
    data: { name, dry_run: true, discarded_cache: loss === null ? null : lossJson(loss) },
    text: () => lossLines(name, loss).join('\n'),
    plain: () => [
      [name, loss?.uuid ?? null, loss?.blocks ?? null, loss?.trimmedBlocks ?? null],
      ...(loss?.ranges ?? []).map(({ block, blockCount }) => ['range', block, blockCount]),
    ],
  };
}

function isNothing({ blocks, lostBlocks, trimmedBlocks }: CacheLoss): boolean {
  return blocks === 0 && lostBlocks === 0 && trimmedBlocks === 0;
}

export function lossJson(loss: CacheLoss): Readonly<Record<string, unknown>> {
  return {
    uuid: loss.uuid,
    epoch: loss.epoch,
    device: loss.device,
    known: loss.unknown === null,
    reason: loss.unknown,
    blocks: loss.blocks,
    bytes: loss.blocks === null ? null : loss.blocks * LOSS_BLOCK_BYTES,
    range_count: loss.rangeCount,
    ranges: loss.ranges.map(({ block, blockCount }) => ({ block, block_count: blockCount })),
    trimmed_blocks: loss.trimmedBlocks,
    lost_blocks: loss.lostBlocks,
  };
}

const blocksText = (count: number): string =>
  `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;

function lostText({ blocks }: CacheLoss): string {
  return `${blocksText(blocks ?? 0)} (${formatSize((blocks ?? 0) * LOSS_BLOCK_BYTES)})`;
}

/** Sentences, then ranges of blocks of 4096 bytes. */
export function lossLines(name: string, loss: CacheLoss | null): string[] {
  if (loss === null) return [`${name} has no NV cache that could be given up`];
  const which = `${loss.uuid}, epoch ${loss.epoch}`;
  if (loss.unknown !== null) {
    return [
      `what is lost with the NV cache of ${name} (${which}) is not known: ${loss.unknown}`,
      '  writes that were answered since it was last drained are lost, flushed or not',
    ];
  }
  const from = `with the NV cache of ${name} on ${loss.device} (${which})`;
  if (isNothing(loss)) return [`nothing is lost ${from}`];
  const lines = [`${lostText(loss)} that are newer there are lost ${from}`];
  const { rangeCount, ranges, trimmedBlocks: trimmed, lostBlocks: lost } = loss;
  for (const { block, blockCount } of ranges.slice(0, RANGES_SHOWN)) {
    const last = block + blockCount - 1;
    lines.push(last === block ? `  block ${block}` : `  blocks ${block} to ${last}`);
  }
  const more = (rangeCount ?? 0) - Math.min(ranges.length, RANGES_SHOWN);
  if (more > 0) lines.push(`  and ${formatCount(more)} more ${more === 1 ? 'range' : 'ranges'}`);
  if ((trimmed ?? 0) > 0) {
    lines.push(`  ${blocksText(trimmed!)} with trims would show again what was there before`);
  }
  if ((lost ?? 0) > 0) {
    lines.push(`  ${blocksText(lost!)} that cannot be read would show what was there before`);
  }
  return lines;
}
