/**
 * The simulated administrator: asks the array for other members, processes and checks, and knows
 * beforehand what the answer has to be. Where it cannot be known, because something goes on or has
 * just failed, either answer is right; what it says about the data is judged in any case.
 *
 * A member is only taken out where the level bears it (atlas.ts), and a block only spoilt where
 * redundancy tells which copy is right: so that every violation is a bug.
 */

import { OP_FLUSH } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { referenceParity } from '../_helpers/raid-reference.ts';
import type { SimDisk } from './sim-disk.ts';
import type { Step } from './step.ts';
import type { SubjectAdmin } from './subject.ts';
import { isCacheDisk } from './template.ts';
import type { World } from './world.ts';

type Of<Kind extends Step['do']> = Extract<Step, { readonly do: Kind }>;
export type AdminStep = Of<'member' | 'process' | 'check' | 'corrupt'>;

/** The code of the refusal that has to come, null where none may, undefined where either may. */
type Expected = string | null | undefined;

export class Administrator {
  readonly #world: World;
  readonly #admin: SubjectAdmin;

  constructor(world: World, admin: SubjectAdmin) {
    this.#world = world;
    this.#admin = admin;
  }

  async carryOut(step: AdminStep): Promise<void> {
    if (step.do === 'member') await this.#member(step);
    else if (step.do === 'process') await this.#process(step);
    else if (step.do === 'check') await this.#check(step);
    else await this.#corrupt(step);
  }

  /** Waits until nothing goes on; what somebody has paused goes on first. */
  async settle(): Promise<void> {
    const world = this.#world;
    const isPaused = (): boolean => this.#admin.process?.paused === true;
    for (;;) {
      await world.life.until(() => !world.settling || isPaused(), 'a rebuild, resync or check');
      if (!isPaused()) break;
      await this.#ask('resume', () => this.#admin.resumeProcess(), undefined);
    }
    this.judge();
  }

  // --- members ----------------------------------------------------------------------------------

  async #member({ what, slot, disk: number }: Of<'member'>): Promise<void> {
    if (what === 'fail') return await this.#fail(slot);
    if (what === 'remove') return await this.#remove(slot);
    const { life } = this.#world;
    const disks = life.disks.filter(
      ({ gone, isOpen, name }) => !isOpen && !gone && !isCacheDisk(name),
    );
    if (disks.length === 0) return;
    const disk = disks[number % disks.length]!;
    if (what === 'add') await this.#add(disk);
    else await this.#replace(slot, disk);
  }

  async #fail(slot: number): Promise<void> {
    const world = this.#world;
    const { slots } = world.subject.health();
    // A disk that was pulled out is out, although the array may not have noticed yet.
    if (slots.some((state, other) => state === 'in-service' && world.isOut(other))) return;
    const absent = slots.filter((state) => state !== 'in-service').length;
    let expected: Expected = null;
    // A rebuild that ends meanwhile, or a loss, makes another answer right.
    const steady = !world.settling && world.user.inFlight === 0;
    if (slots[slot] !== 'in-service') expected = 'BANDSTAND_MEMBER_STATE';
    else if (absent >= world.atlas.tolerates) expected = 'BANDSTAND_MEMBER_NEEDED';
    else if (!world.leeway.mayUnplug(slot)) return;
    world.leeway.noteOldest();
    // Then it is done, and a fault that waits for the member which has just come is one too many.
    if (!steady && !world.atlas.bearsWhenRebuilt(slot)) return;
    if (expected === null) world.forgetHoles([slot]);
    world.administered = true;
    const before = this.#admin.deviceIn(slot);
    const done = await this.#ask(
      `fail slot ${slot}`,
      () => this.#admin.failMember(slot),
      steady || expected === null ? expected : undefined,
    );
    const state = world.subject.health().slots[slot];
    // A device that was to replace it may have come into service at that moment.
    if (done && state === 'in-service' && this.#admin.deviceIn(slot) === before) {
      world.violate(`slot ${slot} is in service after its member was failed`);
    }
    world.syncHealth();
  }

  async #remove(slot: number): Promise<void> {
    const world = this.#world;
    const inService = world.subject.health().slots[slot] === 'in-service';
    const steady = !world.settling && !world.isOut(slot);
    const expected = inService && steady ? 'BANDSTAND_MEMBER_IN_SERVICE' : undefined;
    await this.#ask(`remove slot ${slot}`, () => this.#admin.removeMember(slot), expected);
  }

  async #add(disk: SimDisk): Promise<void> {
    const world = this.#world;
    world.administered = true;
    // The metadata area of a member that came back may be damaged or unreadable.
    const sound = disk.medium.bad.size === 0 && !world.settling && world.ios.strikes === 0;
    const expected = sound ? null : undefined;
    const done = await this.#ask(`add ${disk.name}`, () => this.#admin.addMember(disk), expected);
    if (!done && disk.isOpen) world.violate(`${disk.name} was refused and is still open`);
  }

  async #replace(slot: number, disk: SimDisk): Promise<void> {
    const world = this.#world;
    // Who belongs to which slot may have changed since.
    world.syncHealth();
    const isExtra = world.extras.includes(disk.medium);
    const state = world.subject.health().slots[slot];
    const inService = state === 'in-service';
    let expected: Expected = inService ? null : 'BANDSTAND_MEMBER_STATE';
    // A rebuild that is under way may end before it is the replacement's turn.
    if (state === 'target') expected = undefined;
    if (!isExtra && inService) expected = 'BANDSTAND_MEMBER_STATE';
    // It may have been a member before, of whatever slot; or its slot is another one's since a
    // rebuild of it has begun.
    const known = isExtra ? !disk.medium.isBlank : world.extras.length > 0;
    if (world.settling || world.ios.strikes > 0 || known) expected = undefined;
    world.administered = true;
    const done = await this.#ask(
      `replace slot ${slot} by ${disk.name}`,
      () => this.#admin.replaceMember(slot, disk),
      expected,
    );
    if (!done && disk.isOpen) world.violate(`${disk.name} was refused and is still open`);
  }

  // --- processes --------------------------------------------------------------------------------

  async #process({ what }: Of<'process'>): Promise<void> {
    const admin = this.#admin;
    const idle = admin.process === null && !this.#world.settling;
    const work = {
      pause: () => admin.pauseProcess(),
      resume: () => admin.resumeProcess(),
      cancel: () => admin.cancelProcess(),
    }[what];
    await this.#ask(what, work, idle ? 'BANDSTAND_ACTIVITY_NONE' : undefined);
  }

  async #check({ repair, alone }: Of<'check'>): Promise<void> {
    if (!(await this.#quiet())) return;
    if (alone) {
      await this.#checkAlone(repair);
      return;
    }
    const world = this.#world;
    const { life, ios } = world;
    const { strikes } = ios;
    const equal = world.look.mismatches() === 0 && world.options.config.trim !== 'undefined';
    const began = await this.#ask('check', () => this.#admin.startCheck(repair), undefined);
    world.calmCheck = began && equal ? { life, strikes } : null;
  }

  /** Members that were equal stay so, whatever is written: a check that ends has found nothing. */
  judge(): void {
    const world = this.#world;
    const { calmCheck } = world;
    if (calmCheck === null) return;
    if (calmCheck.life !== world.life || calmCheck.strikes !== world.ios.strikes) {
      world.calmCheck = null;
      return;
    }
    if (this.#admin.process !== null) return;
    world.calmCheck = null;
    const found = this.#admin.mismatches ?? 0;
    if (found > 0) world.violate(`a check found ${found} blocks that disagree, there were none`);
  }

  /** Checks while nothing else goes on; false when something has failed meanwhile. */
  async #checkAlone(repair: boolean): Promise<boolean> {
    const world = this.#world;
    const { strikes } = world.ios;
    await world.look.settle();
    // What an FTL has still written may have cost a member: a spare takes its place now.
    if (this.#admin.process !== null || world.settling) return false;
    const { slots } = world.subject.health();
    const inService = slots.filter((state) => state === 'in-service').length;
    const least = world.options.config.level === 'raid1' ? 2 : slots.length;
    const expected = inService < least ? 'BANDSTAND_ARRAY_DEGRADED' : null;
    const differ = world.look.mismatches();
    if (!(await this.#ask('check', () => this.#admin.startCheck(repair), expected))) return false;
    await world.life.until(() => this.#admin.process === null && !world.settling, 'a check');
    if (world.ios.strikes !== strikes) return false;
    if (world.options.promises.log) await world.life.stillness();
    const found = this.#admin.mismatches;
    if (found !== differ) {
      world.violate(`a check found ${found} blocks that disagree, there are ${differ}`);
    }
    const left = world.look.mismatches();
    if (left !== (repair ? 0 : differ)) {
      world.violate(`after a check${repair ? ' with repair' : ''} ${left} blocks disagree`);
    }
    return true;
  }

  async #corrupt({ slot: wanted, block: wantedBlock }: Of<'corrupt'>): Promise<void> {
    const world = this.#world;
    const { array, config } = world.options;
    const parity = config.level === 'raid5f';
    if (!parity && config.members < 3) return;
    if (!(await this.#quiet()) || world.slotsOut().length > 0 || world.atlas.isAnyVictim) return;
    if (world.look.mismatches() !== 0) return;
    // Of a stripe only the parity can be told from what it should be.
    const block = wantedBlock % Math.min(...array.layout.sizes);
    const rows = world.size.blocks / (parity ? config.members - 1 : 1);
    if (block >= rows || !world.look.looksAt(block)) return;
    const stripe = Math.floor(block / config.stripBlocks);
    const slot = parity ? referenceParity(array.layout, stripe) : wanted % config.members;
    const medium = world.media[slot]!;
    const at = (array.dataOffset + block) * array.blockBytes;
    if (!medium.isDurable(at, array.blockBytes)) return;
    const before = medium.corrupt(at, array.blockBytes);
    world.options.trace.say(`${medium.name}: block ${block} of its data has changed by itself`);
    // A crash would let a reader see what no level can tell from data.
    const { armed } = world.ios;
    world.ios.armed = null;
    if (!(await this.#checkAlone(true)))
      world.violate('a check with repair did not come to its end');
    world.ios.armed = armed;
    const after = new Uint8Array(array.blockBytes);
    medium.now.read(at, after, 0, after.length);
    if (Buffer.compare(before, after) !== 0) {
      world.violate(`slot ${slot}: block ${block} is not what it was before it changed by itself`);
    }
  }

  /** Nothing in flight, everything flushed, no process: false when it cannot come to that. */
  async #quiet(): Promise<boolean> {
    const world = this.#world;
    await world.user.drain();
    // A resync writes, too, and is not flushed at its end.
    await this.settle();
    world.user.submit(OP_FLUSH, 0, 0, false);
    await world.user.drain();
    await this.settle();
    await world.look.settle();
    world.syncHealth();
    return world.violation === null && !world.subject.health().failed;
  }

  /** True when it was done. */
  async #ask(what: string, work: () => Promise<void>, expected: Expected): Promise<boolean> {
    const world = this.#world;
    const { life, ios } = world;
    const { strikes } = ios;
    let code: string | null = null;
    let text = 'done';
    try {
      await life.drive(work(), what);
    } catch (error) {
      if (life.dead || !(error instanceof BandstandError)) throw error;
      code = error.code;
      text = error.message;
    }
    world.options.trace.say(`${what}: ${text}`);
    // After something has failed the array may have its reasons.
    if (expected === undefined || world.ios.strikes > strikes) return code === null;
    if (code !== expected) world.violate(`${what}: ${text}; expected ${expected ?? 'no refusal'}`);
    return code === null;
  }
}
