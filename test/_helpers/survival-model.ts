/**
 * A mirror that loses members, rebuilds, crashes anywhere, and is assembled again.
 *
 * Real metadata (superblocks, labels, recordLoss, MemberLabels, assembleArray) on disks in memory;
 * the data path is a model: a version number for each region on each disk, and the last version
 * that was acknowledged. The power can go at any step (mortal-disks.ts). The order of steps is the
 * one that the array manager keeps.
 *
 * What is checked at each start: a member in service holds every acknowledged write; a member that
 * may return by delta lacks only what the bitmap knows; a target that goes on lacks only that and
 * what lies above its checkpoint. Exempt are histories in which somebody starts a half by itself
 * although the other half has gone on: they have to be reported.
 */

import { flushDevice } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { makeUuid } from '../../src/block/uuid.ts';
import { type Assembly, assembleArray } from '../../src/raid/assemble.ts';
import { createArray, spareLabel } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { type LabelProcess, NO_PROCESS } from '../../src/raid/label.ts';
import { MemberLabels } from '../../src/raid/member-labels.ts';
import { writeArea, writeLabel } from '../../src/raid/metadata-io.ts';
import { planArray } from '../../src/raid/plan.ts';
import { missedSinceAfterLoss, recordLoss } from '../../src/raid/record-loss.ts';
import { encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';
import type { Random } from './array-fixture.ts';
import { ALL_REGIONS, Crash, MortalDisks, REGION_BLOCKS, REGIONS } from './mortal-disks.ts';
import type { RamDevice } from './ram-device.ts';

const BITMAP = { offsetBytes: 131072, bytes: 4096, regionBlocks: REGION_BLOCKS };
const SLOTS = 3;
const ALL = ALL_REGIONS;

interface Running {
  superblock: Superblock;
  readonly inService: Map<number, RamDevice>;
  readonly labels: MemberLabels;
  missedSince: number;
  process: LabelProcess;
  target: RamDevice | null;
}

export interface Tally {
  starts: number;
  crashes: number;
  refused: number;
  apart: number;
  deltas: number;
  resumed: number;
  promoted: number;
  recycled: number;
}

/** A manager may keep the rebuild of a target that is not here in the labels, and wait for it. */
function rememberedProcess({ slots, superblock }: Assembly): LabelProcess {
  for (const { label } of slots) {
    const { kind, slot, uuid, replace } = label?.process ?? NO_PROCESS;
    if (label?.superblockSeq !== superblock.seq || kind !== 'rebuild') continue;
    if (replace || (slots[slot]?.device === null && slots[slot].uuid === uuid))
      return label.process;
  }
  return NO_PROCESS;
}

export class SurvivalModel {
  readonly tally: Tally;
  readonly #disks: MortalDisks;
  readonly #random: Random;
  readonly #acked = ALL.map(() => 0);
  readonly #intent = new Set<number>();
  readonly #missed = new Set<number>();
  /** The devices that may have everything: those of the last run, also when it was cut short. */
  #holders: ReadonlySet<RamDevice> = new Set();
  #clock = 0;

  constructor(random: Random, tally: Tally) {
    this.#random = random;
    this.#disks = new MortalDisks(random);
    this.tally = tally;
  }

  async create(): Promise<void> {
    await this.#disks.open(SLOTS + 2);
    const members = this.#disks.all.slice(0, SLOTS);
    const spares = this.#disks.all.slice(SLOTS);
    const request = { name: 'tank', level: '1', stripBytes: null, superblock: true };
    const plan = planArray({ ...request, members, spares });
    await this.#disks.reactor.drive(createArray(this.#disks.reactor, plan, members, { spares }));
    this.#holders = new Set(members);
  }

  /** One run, from assembly to a clean stop or a crash. False: two halves went on apart. */
  async run(): Promise<boolean> {
    this.#disks.powerOn();
    const present = this.#present();
    if (!present.some((disk) => this.#holders.has(disk))) return true;
    this.#disks.shuffle(present);
    const apart = this.tally.apart;
    const assembly = await this.#assemble(present);
    if (assembly === null) return this.tally.apart === apart;
    this.#disks.cutAfter(this.#random.below(2) === 0 ? 1000 : this.#random.below(70));
    try {
      await this.#use(assembly);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.tally.crashes += 1;
    }
    return true;
  }

  /** All devices, all but one (rather a target than a member), or some. */
  #present(): RamDevice[] {
    const way = this.#random.below(4);
    if (way === 0) return [...this.#disks.all];
    if (way === 1) return this.#disks.all.filter(() => this.#random.below(100) < 85);
    const away = this.#disks.all.filter((disk) => way === 3 || !this.#holders.has(disk));
    const absent = away[this.#random.below(away.length)];
    return this.#disks.all.filter((disk) => disk !== absent);
  }

  async #assemble(present: readonly RamDevice[]): Promise<Assembly | null> {
    const examinations = [];
    for (const disk of present) {
      examinations.push(await this.#disks.reactor.drive(examineDevice(this.#disks.reactor, disk)));
    }
    let assembly: Assembly;
    try {
      assembly = assembleArray(examinations, { degraded: true, scan: true });
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      this.tally.refused += 1;
      return null;
    }
    if (assembly.returning.some(({ why }) => why.includes('used apart'))) {
      this.tally.apart += 1;
      return null;
    }
    this.tally.starts += 1;
    this.#check(assembly);
    return assembly;
  }

  #check(assembly: Assembly): void {
    const { slots, returning, target } = assembly;
    for (const { device } of slots) {
      if (device !== null) this.#holds(this.#disks.named(device), [], 'a member in service');
    }
    const [missed] = this.#bitmap(assembly);
    for (const { device, delta } of returning) {
      if (!delta) continue;
      this.tally.deltas += 1;
      this.#holds(this.#disks.named(device), missed, 'a member that returns by delta');
    }
    if (target === null) return;
    const above = ALL.filter((region) => region * REGION_BLOCKS >= target.block);
    const copied = target.delta ? missed : [...missed, ...above];
    if (target.block > 0) this.tally.resumed += 1;
    this.#holds(this.#disks.named(target.device), copied, 'a target that goes on');
  }

  #holds(disk: RamDevice, except: readonly number[], what: string): void {
    for (const region of ALL) {
      if (except.includes(region) || this.#disks.version(disk, region) >= this.#acked[region]!)
        continue;
      throw new Error(`${what} (${disk.name}) lacks an acknowledged write to region ${region}`);
    }
  }

  /** What the bitmap says at start: regions missed, and regions that may differ. */
  #bitmap({ slots, superblock, clean }: Assembly): [missed: number[], intent: number[]] {
    const valid = slots.some(
      ({ label }) => label !== null && label.superblockSeq === superblock.seq && label.bitmap,
    );
    if (!valid) return clean === true ? [[], []] : [ALL, ALL];
    const intent = clean === true ? [] : [...this.#intent];
    return [[...new Set([...this.#missed, ...intent])], intent];
  }

  async #use(assembly: Assembly): Promise<void> {
    const running = await this.#start(assembly);
    await this.#recycle(running, assembly);
    const actions = this.#random.below(12);
    for (let action = 0; action < actions; action += 1) await this.#act(running, assembly);
    this.#intent.clear();
    await this.#mark(running, 'clean');
  }

  /** What is not used and cannot come back is wiped, and given as a spare. */
  async #recycle({ superblock, inService }: Running, assembly: Assembly): Promise<void> {
    for (const { device } of assembly.unused) {
      const disk = this.#disks.named(device);
      const returns = assembly.returning.some((other) => other.device === device);
      if (returns || [...inService.values()].includes(disk)) continue;
      const { label } = await this.#disks.reactor.drive(examineDevice(this.#disks.reactor, disk));
      await this.#writeHead(disk, new Uint8Array(2 ** 20));
      const fresh = spareLabel(superblock, makeUuid(this.#random.bytes(16)), 1);
      await this.#disks.drive(writeLabel(this.#disks.reactor, disk, fresh));
      if (label !== null) this.tally.recycled += 1;
    }
  }

  async #start(found: Assembly): Promise<Running> {
    const [missed, intent] = this.#bitmap(found);
    const byName = new Map(this.#disks.all.map((disk) => [disk.name, disk]));
    const { reactor } = this.#disks;
    const assembly = await this.#disks.drive(recordLoss(reactor, found, byName));
    const { superblock, slots } = assembly;
    const inService = new Map<number, RamDevice>();
    for (const { slot, device } of slots) {
      if (device !== null) inService.set(slot, byName.get(device)!);
    }
    this.#holders = new Set(inService.values());
    this.#resync([...inService.values()], intent);
    this.#missed.clear();
    const complete = inService.size === SLOTS;
    if (!complete) for (const region of missed) this.#missed.add(region);
    this.#intent.clear();
    const target = assembly.target === null ? null : byName.get(assembly.target.device)!;
    const labels = new MemberLabels(
      this.#disks.reactor,
      superblock.uuid,
      superblock.seq,
      slots.flatMap(({ slot, uuid, label, labelSequence }) => {
        const device = inService.get(slot);
        return device === undefined ? [] : [{ slot, uuid, device, label, labelSequence }];
      }),
    );
    const running: Running = {
      superblock,
      inService,
      labels,
      missedSince: complete ? superblock.seq : assembly.missedSince,
      process: NO_PROCESS,
      target,
    };
    if (target !== null) await this.#goOn(running, assembly);
    else if (this.#random.below(2) === 0) running.process = rememberedProcess(assembly);
    await this.#mark(running, 'dirty');
    return running;
  }

  async #goOn(running: Running, { target }: Assembly): Promise<void> {
    const { slot, uuid, device, block, replace, delta } = target!;
    const disk = this.#disks.named(device);
    const { label } = await this.#disks.reactor.drive(examineDevice(this.#disks.reactor, disk));
    running.labels.add({ slot, uuid, device: disk, label }, 'target');
    running.process = { ...NO_PROCESS, kind: 'rebuild', slot, uuid, block, replace, delta };
    // What the bitmap knows to be missing is copied first, below the checkpoint, too.
    const source = [...running.inService.values()][0]!;
    for (const region of this.#missed) this.#disks.copy(source, disk, region);
  }

  /** The lowest slot wins, for what may differ. */
  #resync(members: readonly RamDevice[], regions: readonly number[]): void {
    for (const region of regions) {
      for (const member of members) this.#disks.copy(members[0]!, member, region);
    }
    for (const region of ALL) {
      const versions = members.map((member) => this.#disks.version(member, region));
      if (versions.some((version) => version !== versions[0])) {
        throw new Error(`members in service differ in region ${region} after the resync`);
      }
    }
  }

  async #act(running: Running, assembly: Assembly): Promise<void> {
    const { inService, target } = running;
    switch (this.#random.below(14)) {
      case 0:
        if (inService.size > 1 && this.#random.below(3) === 0)
          await this.#eject(running, this.#anySlot(running));
        return;
      case 1:
      case 2:
      case 3:
        if (target === null) await this.#addTarget(running, assembly);
        else
          for (let more = this.#random.below(3); more >= 0; more -= 1) await this.#advance(running);
        return;
      case 4:
        if (target !== null && this.#random.below(3) === 0) await this.#loseTarget(running);
        return;
      case 5:
        if (target !== null && (!running.process.replace || this.#random.below(4) === 0))
          await this.#finish(running);
        return;
      case 6:
        this.#intent.clear();
        return;
      default:
        this.#write(
          running,
          Math.min(this.#random.below(REGIONS), this.#random.below(REGIONS)),
          null,
        );
    }
  }

  #anySlot({ inService }: Running): number {
    const slots = [...inService.keys()];
    return slots[this.#random.below(slots.length)]!;
  }

  /** Gives the version that is acknowledged when the caller says so. */
  #write(running: Running, region: number, without: RamDevice | null): void {
    const { inService, target } = running;
    this.#intent.add(region);
    const out = ALL.slice(0, SLOTS).filter((slot) => !inService.has(slot));
    if (out.some((slot) => target === null || running.process.slot !== slot)) {
      this.#missed.add(region);
    }
    this.#clock += 1;
    const receivers = [...inService.values(), ...(target === null ? [] : [target])];
    this.#disks.shuffle(receivers);
    for (const receiver of receivers) {
      if (receiver === without) continue;
      this.#disks.step();
      this.#disks.put(receiver, region, this.#clock);
    }
    if (without === null) this.#acked[region] = this.#clock;
  }

  /** A write fails on the member; it is acknowledged only when the ejection is recorded. */
  async #eject(running: Running, slot: number): Promise<void> {
    const { inService, superblock, target, process } = running;
    // A replacement ends with the member that it replaces.
    if (target !== null && process.replace && process.slot === slot)
      await this.#loseTarget(running);
    const region = this.#random.below(REGIONS);
    const failed = inService.get(slot)!;
    this.#write(running, region, failed);
    inService.delete(slot);
    for (const other of this.#intent) this.#missed.add(other);
    running.missedSince = missedSinceAfterLoss(superblock, running.missedSince);
    await this.#record(running, (entry) =>
      entry.slot === slot ? { ...entry, state: 'failed' } : entry,
    );
    this.#holders = new Set(inService.values());
    running.labels.drop(slot);
    this.#acked[region] = this.#clock;
    await this.#mark(running, 'dirty');
  }

  /** A returning member, a spare, or a replacement of a member in service. */
  async #addTarget(running: Running, assembly: Assembly): Promise<void> {
    const { inService, superblock } = running;
    const free = ALL.slice(0, SLOTS).find((slot) => !inService.has(slot));
    const back = assembly.returning.find(({ slot }) => slot === free);
    const spare = assembly.spares[0];
    const chosen = back ?? spare;
    if (chosen === undefined) return;
    const disk = this.#disks.named(chosen.device);
    if ([...inService.values()].includes(disk)) return;
    const found = await this.#disks.reactor.drive(examineDevice(this.#disks.reactor, disk));
    const replace = free === undefined;
    const slot = free ?? this.#anySlot(running);
    const uuid = chosen.uuid;
    // A superblock may not name a device twice: it is some other slot's target already.
    if (superblock.members.some((entry) => entry.uuid === uuid && entry.slot !== slot)) return;
    // Its bits say what it lacks only if it was judged at this sequence or left in this run.
    const delta = back?.delta === true && running.superblock.seq >= assembly.superblock.seq;
    const { label } = found;
    running.labels.add({ slot, uuid, device: disk, label }, 'target');
    running.process = { ...NO_PROCESS, kind: 'rebuild', slot, uuid, replace, delta };
    running.target = disk;
    await this.#mark(running, 'dirty');
    if (replace) {
      await this.#putSuperblock(disk, superblock);
    } else {
      await this.#record(running, (entry) =>
        entry.slot === slot ? { ...entry, uuid, state: 'missing' } : entry,
      );
    }
    await this.#mark(running, 'dirty');
    if (!delta) return;
    const source = [...inService.values()][0]!;
    for (const region of this.#missed) {
      this.#disks.step();
      this.#disks.copy(source, disk, region);
    }
  }

  async #advance(running: Running): Promise<void> {
    const { inService, process, target } = running;
    const source = [...inService.values()][0]!;
    const region = process.block / REGION_BLOCKS;
    if (region >= REGIONS) return;
    this.#disks.step();
    if (!process.delta || this.#missed.has(region)) this.#disks.copy(source, target!, region);
    running.process = { ...process, block: (region + 1) * REGION_BLOCKS };
    if (this.#random.below(2) === 0) return;
    await this.#mark(running, 'dirty');
    const onlyOut = inService.size === SLOTS - 1 && !process.replace;
    if (onlyOut) for (let below = 0; below <= region; below += 1) this.#missed.delete(below);
  }

  /** A write fails on the target; it is acknowledged when the members' labels forget it. */
  async #loseTarget(running: Running): Promise<void> {
    const region = this.#random.below(REGIONS);
    const target = running.target!;
    const { slot, replace } = running.process;
    this.#write(running, region, target);
    if (!replace) for (const other of this.#intent) this.#missed.add(other);
    running.labels.drop(slot, 'target');
    running.target = null;
    running.process = NO_PROCESS;
    await this.#mark(running, 'dirty');
    this.#acked[region] = this.#clock;
  }

  async #finish(running: Running): Promise<void> {
    while (running.process.block < REGIONS * REGION_BLOCKS) await this.#advance(running);
    const { inService, process, target } = running;
    const { slot } = process;
    const uuid = process.uuid!;
    await this.#record(running, (entry) =>
      entry.slot === slot ? { ...entry, uuid, state: 'configured' } : entry,
    );
    running.labels.promote(slot);
    running.process = NO_PROCESS;
    running.target = null;
    inService.set(slot, target!);
    this.#holders = new Set(inService.values());
    if (inService.size === SLOTS) {
      this.#missed.clear();
      running.missedSince = running.superblock.seq;
    }
    this.tally.promoted += 1;
    await this.#mark(running, 'dirty');
  }

  /** Superblock + 1 on the members in service, then on the target. */
  async #record(
    running: Running,
    change: (entry: Superblock['members'][number]) => Superblock['members'][number],
  ): Promise<void> {
    const { superblock, inService, target } = running;
    const next: Superblock = {
      ...superblock,
      seq: superblock.seq + 1,
      members: superblock.members.map(change),
    };
    const members = [...inService.values()];
    this.#disks.shuffle(members);
    for (const disk of members) await this.#putSuperblock(disk, next);
    if (target !== null) await this.#putSuperblock(target, next);
    running.superblock = next;
  }

  async #putSuperblock(disk: RamDevice, superblock: Superblock): Promise<void> {
    await this.#writeHead(disk, encodeSuperblock(superblock));
  }

  async #writeHead(disk: RamDevice, bytes: Uint8Array): Promise<void> {
    await this.#disks.drive(writeArea(this.#disks.reactor, disk, 0, bytes));
    await this.#disks.drive(flushDevice(disk));
  }

  async #mark(running: Running, state: 'clean' | 'dirty'): Promise<void> {
    const { superblock, missedSince, process, labels } = running;
    const mark = { state, superblockSeq: superblock.seq, process, missedSince, bitmap: BITMAP };
    const failures = await this.#disks.reactor.drive(labels.write(mark));
    if (failures.length > 0) throw new Crash();
  }
}
