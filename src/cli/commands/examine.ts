/**
 * `bandstand examine DEVICE…`: what is on these devices.                            (control plane)
 *
 * Needs no server and no privileges beyond reading the device. The text is short; --json has every
 * field of the superblock and of both label copies as they are on the disk.
 */

import type { BandstandError } from '../../block/errors.ts';
import { formatSize } from '../../block/quantities.ts';
import type { ExaminedCache, ExaminedDevice } from '../../stack/examine-device.ts';
import { CACHE_BLOCK_BYTES, examineAt, examinedJson } from '../../stack/examine-device.ts';
import { withRing } from '../../stack/offline-ring.ts';
import type { Command } from '../command.ts';
import { keyLines } from '../table.ts';

export const examine: Command = {
  name: 'examine',
  summary: 'Shows what is on devices: superblock, member label, foreign data.',
  positionals: [{ name: 'DEVICE', required: true, many: true }],
  options: [],
  examples: [
    ['examine /dev/sdb', 'shows which array it belongs to, if any'],
    ['examine disk.img --json', 'prints every field of superblock and label'],
  ],
  async run(_context, args) {
    const devices = await withRing(async (ring) => {
      const found: ExaminedDevice[] = [];
      for (const path of args.many('DEVICE')) found.push(await examineAt(ring, path));
      return found;
    });
    const damaged = devices.some(
      ({ cache, examination }) =>
        cache?.header === null || examination.superblock.state === 'damaged',
    );
    return {
      schema: 'bandstand.examine/1',
      data: { devices: devices.map(examinedJson) },
      text: () => devices.map(examinedText).join('\n\n'),
      plain: () =>
        devices.map(({ device, examination }) => [
          device,
          examination.superblock.state,
          examination.superblock.value?.name ?? null,
          examination.superblock.value?.uuid ?? null,
          examination.label?.slot ?? null,
        ]),
      exitStatus: damaged ? 1 : 0,
    };
  },
};

function examinedText(examined: ExaminedDevice): string {
  const { device, examination, foreign, sizeBytes, usage } = examined;
  const { superblock, label } = examination;
  return [
    `${device}: ${headline(examined)}`,
    ...keyLines([
      ['  size', `${formatSize(sizeBytes)} in blocks of ${examination.blockBytes} bytes`],
      ['array', superblock.value === null ? null : arrayText(examined)],
      ['damage', superblock.error === null ? null : problem(superblock.error)],
      ['label', labelText(examined)],
      ['state', label === null ? null : label.state],
      ['cache', cacheOf(examined)],
      ['content', contentText(examined)],
      ['process', processText(examined)],
      ['holds', foreign.length === 0 ? null : foreign.map((one) => one.description).join(', ')],
      ['in use', usage === null ? null : usage],
      ...examination.warnings.map((warning) => ['warning', warning] as const),
    ]),
  ].join('\n');
}

/** What is on the device, in a few words. */
export function headline({ cache, examination, foreign }: ExaminedDevice): string {
  if (cache !== null) return 'an NV cache';
  const { superblock, label } = examination;
  if (superblock.state === 'damaged') return 'a damaged superblock';
  if (superblock.value === null) {
    if (label?.role === 'spare') return `spare of the array ${label.arrayUuid}`;
    if (label !== null) return `a member label without a superblock (array ${label.arrayUuid})`;
    return foreign.length === 0 ? 'nothing recognised' : foreign[0]!.description;
  }
  const { name, uuid, level, members } = superblock.value;
  const slot = members.find((member) => member.uuid === label?.memberUuid)?.slot ?? label?.slot;
  const place =
    slot === undefined ? 'slot unknown (no label)' : `slot ${slot} of ${members.length}`;
  const role = label?.role === 'target' ? 'target of a rebuild' : 'member';
  return `${role} of ${name} (${uuid}), ${place}, ${level}`;
}

/** On the device itself, or on the array that it is a member of. */
function cacheOf({ cache, mirrored }: ExaminedDevice): string | null {
  const found = cache ?? mirrored;
  return found === null ? null : cacheText(found);
}

function contentText({ examination }: ExaminedDevice): string | null {
  const { label } = examination;
  if (label?.nvCache === true) return 'the NV cache of a stack, mirrored';
  return label?.ftl === true ? 'an FTL' : null;
}

function cacheText({ error, header }: ExaminedCache): string {
  if (header === null) return `damaged: ${problem(error!)}`;
  const { currentAddress, epoch, owner, phase, sizeBlocks, uuid } = header;
  const state =
    phase === 0 ? 'being scrubbed' : currentAddress === null ? 'not stopped cleanly' : 'clean';
  const size = formatSize(sizeBlocks * CACHE_BLOCK_BYTES);
  return `${uuid} of the FTL ${owner}, ${size}, phase ${phase}, started ${epoch} times, ${state}`;
}

/** What the label says was going on when it was written. */
function processText({ examination }: ExaminedDevice): string | null {
  const { label, blockBytes } = examination;
  if (label === null || label.process.kind === 'none') return null;
  const { kind, slot, block, replace, paused } = label.process;
  const of = kind === 'rebuild' ? ` of slot ${slot}${replace ? ' (replacement)' : ''}` : '';
  return `${kind}${of}${paused ? ', paused' : ''}, ${formatSize(block * blockBytes)} of each member done`;
}

function arrayText({ examination }: ExaminedDevice): string {
  const { raidSize, blockBytes, stripBlocks, seq, members } = examination.superblock.value!;
  const strip = stripBlocks === 0 ? '' : `, strip ${formatSize(stripBlocks * blockBytes)}`;
  const lost = members.filter(({ state }) => state !== 'configured').map(({ slot }) => slot);
  const without = lost.length === 0 ? '' : `, without slot ${lost.join(', ')}`;
  return `${formatSize(raidSize * blockBytes)}${strip}, sequence ${seq}${without}`;
}

function labelText({ examination }: ExaminedDevice): string {
  const texts = examination.labels.map((copy, index) => {
    if (copy.state === 'ok') return `copy ${index} good (sequence ${copy.value!.sequence})`;
    if (copy.state === 'absent') return `copy ${index} absent`;
    return `copy ${index} damaged: ${problem(copy.error!)}`;
  });
  return texts.join('; ');
}

/** The reason alone: the device stands in the line above. */
function problem(error: BandstandError): string {
  return error.message;
}
