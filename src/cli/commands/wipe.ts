/**
 * `bandstand wipe DEVICE…`: erases bandstand's metadata from devices.               (control plane)
 *
 * Removes superblock, member labels and the header of an NV cache, and nothing else: the data stays
 * where it is, but nothing can find it any more. So it is confirmed, device by device: by typing on
 * a terminal, by --confirm or --yes in scripts. A member of a running stack is refused. A stack of
 * which nothing is left on any device is forgotten, too (wiped-stacks.ts).
 */

import { BandstandError } from '../../block/errors.ts';
import { type WipeOutcome, wipeAt } from '../../stack/examine-device.ts';
import { type Ring, withRing } from '../../stack/offline-ring.ts';
import type { Arguments } from '../arguments.ts';
import { type Command, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { unmeasured } from '../progress-text.ts';
import { wipedStackJson, wipedStackLines, wipedStacks } from '../wiped-stacks.ts';

export const wipe: Command = {
  name: 'wipe',
  summary: "Erases bandstand's metadata (superblock and labels) from devices.",
  positionals: [{ name: 'DEVICE', required: true, many: true }],
  options: [
    DRY_RUN,
    { name: 'confirm', kind: 'list', value: 'NAME', summary: 'array that may lose its metadata' },
    { name: 'yes', kind: 'flag', summary: 'do not ask' },
  ],
  examples: [
    ['wipe --dry-run /dev/sdb', 'shows what would be erased'],
    ['wipe /dev/sdb --confirm tank', 'erases the metadata of the array tank'],
  ],
  async run(context, args) {
    const dryRun = args.flag('dry-run');
    const { outcomes, stacks } = await withRing(async (ring) => {
      const devices = args.many('DEVICE');
      const before = await wipeAll(context, ring, devices, true);
      if (!dryRun) await confirm(context, args, before);
      const after = dryRun ? [] : await wipeAll(context, ring, devices, false);
      const stacks = await wipedStacks(ring, context.directories, before, dryRun);
      return { outcomes: dryRun ? before : after, stacks };
    });
    return {
      schema: 'bandstand.wipe/1',
      data: {
        dry_run: dryRun,
        devices: outcomes.map(outcomeJson),
        stacks: stacks.map(wipedStackJson),
      },
      text: () =>
        [
          ...outcomes.map((outcome) => outcomeText(outcome, dryRun)),
          ...stacks.flatMap((stack) => wipedStackLines(stack, dryRun)),
        ].join('\n'),
      plain: () =>
        outcomes.map((outcome) => [outcome.device, outcomeJson(outcome).array, parts(outcome)]),
    };
  },
};

/** A disk that has to spin up takes its time, and many that flush do. */
async function wipeAll(
  { progress }: CommandContext,
  ring: Ring,
  devices: readonly string[],
  dryRun: boolean,
): Promise<WipeOutcome[]> {
  const outcomes: WipeOutcome[] = [];
  try {
    for (const [index, device] of devices.entries()) {
      const place = devices.length === 1 ? [] : [`${index + 1} of ${devices.length}`];
      progress.show(unmeasured(device, dryRun ? 'Look for metadata' : 'Wipe it', place));
      outcomes.push(await wipeAt(ring, device, dryRun));
    }
  } finally {
    progress.end();
  }
  return outcomes;
}

async function confirm(
  context: CommandContext,
  args: Arguments,
  outcomes: readonly WipeOutcome[],
): Promise<void> {
  if (args.flag('yes')) return;
  const confirmed = args.list('confirm');
  for (const outcome of outcomes) {
    if (parts(outcome) === 'nothing') continue;
    const name = arrayName(outcome);
    const word = name ?? outcome.device;
    if (confirmed.includes(word)) continue;
    const refuse = (why: string, hint: string): never => {
      throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
        message: `cannot wipe ${outcome.device}: ${why}`,
        hint,
        details: { device: outcome.device, array: name },
      });
    };
    if (!context.interactive) {
      refuse(
        `it holds ${parts(outcome)} of ${name ?? 'an array'}, and nobody can be asked`,
        `repeat the command with --confirm ${word}`,
      );
    }
    context.note(outcomeText(outcome, true));
    const answer = await context.ask(`Type ${word} to erase it: `);
    if (answer !== word) refuse(`the answer was '${answer}'`, 'nothing was written to it');
  }
}

function arrayName({ before }: WipeOutcome): string | null {
  return before.superblock.value?.name ?? null;
}

function parts({ before, cache }: WipeOutcome): string {
  const found: string[] = [];
  if (before.superblock.state === 'ok') found.push('the superblock');
  if (before.superblock.state === 'damaged') found.push('a damaged superblock');
  const labels = before.labels.filter(({ state }) => state !== 'absent').length;
  if (labels > 0) found.push(labels === 1 ? 'one label' : 'both labels');
  if (cache !== null) found.push('the header of an NV cache');
  return found.length === 0 ? 'nothing' : found.join(' and ');
}

function outcomeJson(outcome: WipeOutcome) {
  const { before, device, wiped } = outcome;
  const labels = before.labels.filter(({ state }) => state !== 'absent').length;
  return {
    device,
    array: arrayName(outcome),
    array_uuid: before.superblock.value?.uuid ?? null,
    superblock: before.superblock.state,
    label_copies: labels,
    nv_cache: outcome.cache?.header?.uuid ?? null,
    wiped:
      wiped !== null &&
      (outcome.cache !== null ||
        wiped.superblock ||
        wiped.labelCopies > 0 ||
        wiped.bitmapBlocks > 0),
  };
}

function outcomeText(outcome: WipeOutcome, dryRun: boolean): string {
  const { device } = outcome;
  const what = parts(outcome);
  if (what === 'nothing') return `${device}: nothing of bandstand's is on it`;
  const name = arrayName(outcome);
  const of = name === null ? '' : ` of ${name}`;
  return `${device}: ${dryRun ? 'would erase' : 'erased'} ${what}${of}`;
}
