/**
 * ArrayManager: keeps an array's metadata true, and its redundancy whole.           (control plane)
 *
 * The array (raid-array.ts) moves data and decides that a member has to leave; the manager writes
 * down what that means, and gets the redundancy back: resync after a crash, rebuild onto a member
 * that returns or a spare, replacement, check. It is the only writer of superblocks and labels
 * while the array is open.
 *
 * Changes of metadata are done one after another (`#serial`). The rules, each of which a test cuts
 * short at every I/O:
 *
 *   a member leaves     missed ⊇ intent on the bitmap → superblock + 1 on all others → answers go
 *                       out → labels. A place that does not take it leaves, too; it starts over.
 *   a rebuild begins    label on a new target → superblock + 1 names it (state missing), on members
 *                       and target → labels with the process → it gets every write → copying.
 *   a checkpoint        target flushed → missed bits below it cleared → labels.
 *   a rebuild ends      whole array locked → target flushed → bitmap copied to it → superblock + 1
 *                       calls it configured → in service → labels → unlocked.
 *   a clean stop        process stopped → members flushed → intent cleared → labels clean.
 *
 * What to do next (`#next`) is decided from the state alone, whenever something has ended: first
 * resync, because everything else reads what it makes equal; then an interrupted rebuild, returning
 * members, spares; then a check that was asked for. One process at a time.
 *
 * This file: start, stop and status. Below it, each built on the next: requests of people
 * (member-admin.ts), what to do next (process-keeper.ts), losses (metadata-keeper.ts).
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { MemberStatus } from './array-members.ts';
import { ArrayMetadata } from './array-metadata.ts';
import { type Assembly, assemblySpec } from './assemble.ts';
import { writeBitmap } from './bitmap-io.ts';
import { NO_PROCESS } from './label.ts';
import { levelRules } from './level-rules.ts';
import { type LoadedIntent, loadIntent } from './load-intent.ts';
import { MemberAdmin } from './member-admin.ts';
import { labelError, type ManagerObserver, type ManagerOptions } from './metadata-keeper.ts';
import { newestEventCount } from './own-label.ts';
import type { ProcessRun, ProcessStatus } from './process-run.ts';
import { RaidArray } from './raid-array.ts';
import { recordLoss } from './record-loss.ts';
import type { Superblock } from './superblock.ts';

export interface SpareStatus {
  readonly uuid: string;
  readonly device: string;
}

export interface ManagerStatus {
  readonly members: readonly MemberStatus[];
  readonly spares: readonly SpareStatus[];
  readonly process: (ProcessStatus & { readonly target: SpareStatus | null }) | null;
  readonly failed: boolean;
  /** What cannot be read any more, in words; null while nothing is lost. */
  readonly lost: string | null;
}

export class ArrayManager extends MemberAdmin {
  /**
   * Records losses, opens the array and starts what has to be done. `devices` are open; those that
   * the assembly does not use stay the caller's. Throws BandstandError; then they are closed.
   */
  static async start(
    reactor: Reactor,
    assembly: Assembly,
    devices: ReadonlyMap<string, BlockDevice>,
    options: ManagerOptions,
    observer: ManagerObserver,
  ): Promise<ArrayManager> {
    const { superblock, slots } = assembly;
    const redundant = levelRules(superblock.level).tolerates(slots.length) > 0;
    const writable = options.readOnly !== true;
    const regionBlocks = options.regionBlocks ?? null;
    const loaded =
      writable && redundant ? await loadIntent(reactor, assembly, devices, regionBlocks) : null;
    const recorded = writable ? await recordLoss(reactor, assembly, devices) : assembly;
    const array = new RaidArray(assemblySpec(recorded, devices), {
      membersOpened: true,
      steadyReads: assembly.clean === false,
      ...(options.depth === undefined ? {} : { depth: options.depth }),
      ...(options.address === undefined ? {} : { address: options.address }),
    });
    await array.open(reactor);
    try {
      const manager = new this(reactor, array, options, observer);
      if (writable) await manager.#adopt(recorded, devices, loaded);
      else array.memberObserver = manager;
      return manager;
    } catch (error) {
      await array.close();
      throw error;
    }
  }

  /** Takes over the metadata, marks the members as in use, and starts what is due. */
  async #adopt(
    assembly: Assembly,
    devices: ReadonlyMap<string, BlockDevice>,
    loaded: LoadedIntent | null,
  ): Promise<void> {
    const { array, reactor } = this;
    const { superblock, slots } = assembly;
    const metadata = new ArrayMetadata(reactor, superblock, {
      state: 'dirty',
      ftl: assembly.ftl,
      nvCache: assembly.nvCache,
      bitmap: loaded?.bitmap ?? null,
      process: NO_PROCESS,
      // Without a history it begins now, whether or not a loss had to be recorded.
      missedSince: Math.min(loaded?.missedSince ?? 0, superblock.seq),
      eventCount: newestEventCount(slots.map(({ label }) => label)) + 1,
    });
    for (const { slot, uuid, device, labelSequence } of slots) {
      if (device === null) continue;
      const found = devices.get(device)!;
      metadata.add({ device: found, uuid, slot, role: 'member', sequence: labelSequence });
      if (loaded !== null) {
        await writeBitmap(reactor, found, loaded.bitmap, superblock.uuid, loaded.states);
      }
    }
    const [failed] = await metadata.writeLabels({});
    if (failed !== undefined) throw labelError(array.name, failed);
    this.metadata = metadata;
    if (loaded !== null) {
      this.intent = this.makeIntent(loaded);
    }
    array.keep(this, this.intent);
    this.#takeOutsiders(assembly, devices);
    this.kick();
  }

  /** Devices that are no members now and may become some. */
  #takeOutsiders(assembly: Assembly, devices: ReadonlyMap<string, BlockDevice>): void {
    if (this.intent === null) return;
    const base = { delta: false, block: 0, begun: false, replace: false };
    const { target, process } = assembly;
    const targetDevice = target === null ? undefined : devices.get(target.device);
    if (target !== null && targetDevice !== undefined) {
      const { slot, uuid, delta, block, replace, labelSequence } = target;
      const one = { device: targetDevice, slot, uuid, delta, block, replace, labelSequence };
      this.candidates.push({ ...one, begun: true });
      this.beginPaused = target.paused;
      if (replace) this.array.expectTarget();
    }
    for (const { slot, uuid, device, delta, failed, labelSequence } of assembly.returning) {
      const found = devices.get(device);
      if (found === undefined || failed) continue;
      this.candidates.push({ ...base, device: found, uuid, slot, delta, labelSequence });
    }
    for (const { uuid, device, labelSequence } of assembly.spares) {
      const found = devices.get(device);
      if (found === undefined) continue;
      this.candidates.push({ ...base, device: found, uuid, slot: null, labelSequence });
    }
    for (const { device } of this.candidates) device.observer = this.array;
    if (process.kind !== 'check') return;
    const { repair, block, paused } = process;
    this.checkWanted = { repair, block, paused };
  }

  /**
   * Stops what is going on, with a checkpoint; flushes, marks clean, closes all devices. Throws the
   * first failure after everything is closed: then the members are not marked clean.
   */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    // A rebuild may be about to begin; nothing new begins behind it.
    await this.serial(async () => {});
    const { array, run } = this;
    if (run !== null) {
      run.stop();
      await run.ended;
    }
    let failure: unknown = null;
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failure ??= error;
      }
    };
    // Not as one of the serial changes: a member that fails here has to be recorded meanwhile.
    if (this.metadata !== null) await attempt(() => flushDevice(array));
    await attempt(() => this.serial(() => this.#settleForClose(run, failure === null)));
    while (this.isBusy) await this.serial(async () => {});
    await array.close();
    await this.allGone();
    this.intent?.dispose();
    for (const { device } of this.candidates.splice(0)) await device.close();
    if (failure !== null) throw failure;
  }

  async #settleForClose(run: ProcessRun | null, flushed: boolean): Promise<void> {
    const { array, metadata, intent } = this;
    if (metadata === null) return;
    // Also where it has not moved: its target has got writes since.
    if (run !== null) await this.recordRun();
    let equal = flushed && !array.hasFailed;
    if (intent !== null) {
      await intent.suspend();
      if (equal) intent.clearIntent();
      await intent.settled();
      await this.recordLosses();
      // What differs has to be found again: the intent that is left tells where.
      equal &&= intent.unsyncedCount === 0 && !array.hasFailed;
    }
    if (!equal) return;
    const failed = await metadata.writeLabels({ state: 'clean' });
    if (failed.length > 0) throw labelError(array.name, failed[0]!);
  }

  status(): ManagerStatus {
    const { array } = this;
    return {
      members: array.memberStatus(),
      spares: this.spares.map(({ uuid, device }) => ({ uuid, device: device.name })),
      process: this.process,
      failed: array.hasFailed,
      lost: array.hasFailed ? this.#lostText() : null,
    };
  }

  /** The rebuild, resync or check that is running or paused, or null. */
  get process(): ManagerStatus['process'] {
    const { run } = this;
    return run === null ? null : { ...run.status(), target: this.#targetStatus() };
  }

  /** True while something is being made whole, or members may differ. */
  get isSettling(): boolean {
    return this.run !== null || this.isBusy || (this.intent?.unsyncedCount ?? 0) > 0;
  }

  /** Everything that is open here; what else was given to `start` is the caller's. */
  devices(): BlockDevice[] {
    return [...this.array.openDevices(), ...this.candidates.map(({ device }) => device)];
  }

  #targetStatus(): SpareStatus | null {
    const { target } = this.array;
    return target === null ? null : { uuid: target.uuid, device: target.device.name };
  }

  #lostText(): string {
    const { members, spec } = this.array;
    const gone = members.filter(
      ({ device, failedStatus }) => device === null || failedStatus !== 0,
    );
    const slots = gone.map(({ slot }) => slot).join(', ');
    const bears = levelRules(spec.level).tolerates(members.length);
    return `${gone.length} of ${members.length} members are gone (slots ${slots}), ${spec.level} bears ${bears}: what lies on them cannot be read`;
  }

  get superblock(): Superblock | null {
    return this.metadata?.superblock ?? null;
  }
}
