/**
 * What happens to the halves of a mirrored NV cache in a history: faults and pulled disks, as far
 * as the other half has everything, and what an administrator asks for. What it answers is the
 * array's business (administrator.ts); here what comes of it for the data is judged.
 */

import { BandstandError } from '../../src/block/errors.ts';
import type { Halves } from './halves.ts';
import type { SimDisk } from './sim-disk.ts';
import type { Step } from './step.ts';
import type { SubjectMirror } from './subject.ts';
import type { World } from './world.ts';

type HalfStep = Extract<
  Step,
  { readonly do: 'half' | 'half-fault' | 'half-latent' | 'half-unplug' | 'half-plug' }
>;
type Request = Extract<HalfStep, { readonly do: 'half' }>;

export async function halfStep(world: World, step: HalfStep): Promise<void> {
  const { halves } = world;
  if (halves === null) return;
  if (step.do === 'half') await administer(world, halves, step);
  else disturb(halves, step);
}

function disturb(halves: Halves, step: Exclude<HalfStep, Request>): void {
  const { slot } = step;
  const { atlas, extras, media } = halves;
  if (step.do === 'half-fault') {
    const { kind, op, skip } = step;
    if (halves.mayFail(op, slot)) atlas.faults[slot]!.push({ kind, op, skip, dataOnly: false });
  } else if (step.do === 'half-latent') {
    if (!halves.mayFail('read', slot)) return;
    const { blockCount } = media[slot]!.options;
    for (let index = 0; index < step.count; index += 1) {
      media[slot]!.bad.add(Math.min(blockCount - 1, halves.dataOffset + step.block + index));
    }
  } else if (step.do === 'half-unplug') {
    if (halves.mayUnplug(slot)) halves.unplug(slot, step.power);
  } else {
    const lost = extras.find(({ away }) => away);
    if (atlas.allowsPlug(slot)) media[slot]!.away = false;
    else if (lost !== undefined) lost.away = false;
  }
}

async function administer(world: World, halves: Halves, { what, slot, disk }: Request) {
  const { mirror } = halves;
  if (mirror === null) return;
  const { admin } = mirror;
  halves.sync();
  if (what === 'fail') await fail(world, halves, mirror, slot);
  else if (what === 'remove') await ask(world, 'remove half', () => admin.removeMember(slot));
  else if (what === 'pause') await ask(world, 'pause half', () => admin.pauseProcess());
  else if (what === 'resume') await ask(world, 'resume half', () => admin.resumeProcess());
  else if (what === 'cancel') await ask(world, 'cancel half', () => admin.cancelProcess());
  else await give(world, halves, mirror, { what, slot, disk });
  halves.sync();
}

/** Its device leaves, where the other one has everything. */
async function fail(world: World, halves: Halves, mirror: SubjectMirror, slot: number) {
  const { slots } = mirror.health();
  // A disk that was pulled out is out, although the array may not have noticed yet.
  if (slots.some((state, other) => state === 'in-service' && halves.isOut(other))) return;
  if (!halves.mayUnplug(slot)) return;
  const isSteady = !halves.settling && world.user.inFlight === 0;
  if (!isSteady && !halves.atlas.bearsWhenRebuilt(slot)) return;
  halves.administered = true;
  await ask(world, `fail half ${slot}`, () => mirror.admin.failMember(slot));
}

async function give(
  world: World,
  halves: Halves,
  { admin }: SubjectMirror,
  { what, slot, disk: number }: Pick<Request, 'disk' | 'slot' | 'what'>,
) {
  const isFree = ({ gone, isOpen, medium }: SimDisk): boolean =>
    !isOpen && !gone && halves.has(medium);
  const disks = world.life.disks.filter(isFree);
  if (disks.length === 0) return;
  const disk = disks[number % disks.length]!;
  halves.administered = true;
  if (what === 'add') await ask(world, `add half ${disk.name}`, () => admin.addMember(disk));
  else {
    const text = `replace half ${slot} by ${disk.name}`;
    await ask(world, text, () => admin.replaceMember(slot, disk));
  }
}

async function ask(world: World, what: string, work: () => Promise<void>): Promise<void> {
  const { life } = world;
  let text = 'done';
  try {
    await life.drive(work(), what);
  } catch (error) {
    if (life.dead || !(error instanceof BandstandError)) throw error;
    text = error.message;
  }
  world.options.trace.say(`${what}: ${text}`);
}

/** Waits until nothing goes on in the mirror; what somebody has paused goes on first. */
export async function settleHalves(world: World): Promise<void> {
  const { halves } = world;
  const mirror = halves?.mirror ?? null;
  if (halves === null || mirror === null) return;
  const isPaused = (): boolean => mirror.admin.process?.paused === true;
  for (;;) {
    await world.life.until(() => !halves.settling || isPaused(), 'a rebuild of the NV cache');
    if (!isPaused()) return;
    await ask(world, 'resume half', () => mirror.admin.resumeProcess());
  }
}
