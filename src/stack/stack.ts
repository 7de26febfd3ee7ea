/**
 * Stack: the whole assembled thing, from member devices to the exports.             (control plane)
 *
 * Opening is a table of steps, closing is their undo in reverse. An array with superblocks has a
 * manager (raid/array-manager.ts), which keeps its metadata and its redundancy; one without has
 * neither, and its members are where they are remembered.
 *
 * Runs on the reactor's thread, inside its turns or driven by them. Not here: processes, sockets,
 * logs (cli/), which devices to look at (find-members.ts).
 */

import type { BlockDevice, DeviceObserver, Geometry } from '../block/block-device.ts';
import { OP_FLUSH, OP_READ, OP_TRIM, OP_WRITE } from '../block/block-io.ts';
import { flushDevice } from '../block/control-io.ts';
import { statusName } from '../block/status.ts';
import { type Step, StepRun } from '../block/steps.ts';
import { type ActivityStatus, type ExportStatus, type Health, IDLE } from '../control/schema.ts';
import { MeterDevice } from '../device/meter-device.ts';
import type { ArrayManager } from '../raid/array-manager.ts';
import type { Assembly } from '../raid/assemble.ts';
import { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { notesAbout } from './absent-spares.ts';
import { stackWords } from './array-words.ts';
import { cacheActivity } from './cache-document.ts';
import { makeLeaf, refreshSize } from './device-tree.ts';
import type { FtlLayer } from './ftl-layer.ts';
import { BUFFER_LOST, failureEvent } from './ftl-words.ts';
import { ioStatus } from './io-status.ts';
import { LabelledArray } from './labelled-array.ts';
import { layerWords, stackAction } from './layer-words.ts';
import { LogLayers } from './log-layers.ts';
import { nbdExporter, ublkExporter } from './make-exporter.ts';
import { grownWords } from './managed-status.ts';
import { rememberMembers, stableDevicePath } from './remember-members.ts';
import { rememberedSpec } from './remembered-spec.ts';
import { StackControl } from './stack-control.ts';
import { StackExports } from './stack-exports.ts';
import { mirrorOfCache, startFailure, takesStripesOnly } from './start-failure.ts';
import { StartingStack } from './starting-stack.ts';
import type { RememberedStack } from './state-store.ts';
import { stepEvents } from './step-events.ts';
import type {
  NbdExportOptions,
  StackEvent,
  StackOpened,
  StackPlan,
  UblkExportOptions,
  WorkerMethods,
} from './worker-messages.ts';

export class Stack implements DeviceObserver {
  readonly #reactor: Ring;
  readonly #plan: StackPlan;
  readonly #emit: (event: StackEvent) => void;
  readonly #steps: StepRun<Stack>;
  readonly #starting: StartingStack;
  /** Of an array with superblocks. */
  readonly #labelled: LabelledArray;
  /** Of one without. */
  readonly #bare: BlockDevice[] = [];
  #array: RaidArray | null = null;
  /** From the moment that its start begins. */
  #startedFtl: FtlLayer | null = null;
  #log: LogLayers | null = null;
  #top: MeterDevice | null = null;
  readonly #exports = new StackExports();
  #failed = false;
  /** Nothing is written to the members. */
  readonly #readOnly: boolean;
  readonly control: StackControl;
  #opening: Promise<void> = Promise.resolve();

  constructor(reactor: Ring, plan: StackPlan, emit: (event: StackEvent) => void) {
    this.#reactor = reactor;
    this.#plan = plan;
    this.#readOnly = plan.readOnly;
    this.#starting = new StartingStack(plan, emit);
    this.#emit = this.#starting.emit;
    this.#steps = new StepRun<Stack>(this);
    this.#labelled = new LabelledArray({
      reactor,
      search: plan,
      words: stackWords(plan.name),
      readOnly: plan.readOnly,
      warn: (message) => this.#emit({ event: 'warning', message }),
      arrayEvent: (event) => this.control.arrayEvent(event),
      startFailure: (error, assembly) => startFailure(error, plan.name, assembly),
    });
    this.control = new StackControl({
      ring: reactor,
      name: plan.name,
      readOnly: plan.readOnly,
      manager: () => this.#manager,
      spec: () => this.#array!.spec,
      ftl: () => this.#ftl?.device ?? null,
      log: () => this.#log,
      top: () => this.#top!,
      sizeBytes: () => this.#sizeBytes,
      emit: this.#emit,
    });
  }

  /** Throws BandstandError; then nothing is left open. */
  async open(): Promise<StackOpened> {
    const running = this.#run();
    this.#opening = running.catch(() => {});
    try {
      await running;
    } catch (error) {
      // One that this start has made holds nothing, and the next may want another size; but once
      // the superblock says that it is there, it has to be.
      const { surviving } = this.#reactor;
      if (surviving?.isAdopted === false && this.#startedFtl?.device.namesBuffer !== true) {
        surviving.discard();
      }
      throw error;
    }
    const array = this.#array!;
    return {
      uuid: array.spec.uuid,
      level: array.spec.level,
      health: this.#isDegraded ? 'degraded' : 'healthy',
      notes: this.#notes(),
      remembered: this.#toRemember(),
    };
  }

  async #run(): Promise<void> {
    const withSuperblock = this.#plan.remembered?.superblock !== false;
    const told = stepEvents(this.#emit);
    await this.#steps.run(withSuperblock ? Stack.#labelledSteps : Stack.#bareSteps, told);
    if (this.#assembly?.ftl === true) await this.#steps.run(Stack.#ftlSteps, told);
    else this.#reactor.surviving?.discard();
  }

  static readonly #labelledSteps: readonly Step<Stack>[] = [
    { name: 'Find the members', run: (stack) => stack.#find() },
    {
      name: 'Open the members',
      run: (stack) => stack.#labelled.openMembers(),
      undo: (stack) => stack.#labelled.closeMembers(),
    },
    { name: 'Read the superblocks', run: (stack) => stack.#labelled.readSuperblocks() },
    {
      name: 'Start the array',
      run: (stack) => stack.#startManaged(),
      undo: (stack) => stack.#closeManaged(),
    },
  ];

  static readonly #ftlSteps: readonly Step<Stack>[] = [
    {
      name: 'Start the FTL',
      run: (stack) => stack.#startFtl(),
      undo: (stack) => stack.#log!.closeTop(stack.#top!),
    },
  ];

  /** An array without superblock: its members are where they are remembered, in slot order. */
  static readonly #bareSteps: readonly Step<Stack>[] = [
    {
      name: 'Open the members',
      run: (stack) => stack.#openRemembered(),
      undo: (stack) => stack.#closeBare(),
    },
    {
      name: 'Start the array',
      run: (stack) => stack.#startRemembered(),
      undo: (stack) => stack.#top!.close(),
    },
    {
      name: 'Flush at the end',
      run: async () => {},
      undo: (stack) => stack.#flush(),
    },
  ];

  // --- steps ------------------------------------------------------------------------------------

  async #find(): Promise<void> {
    const { ftl, nvCache, superblock } = await this.#labelled.find();
    if (nvCache) throw mirrorOfCache(this.#plan.name, superblock);
    if (!ftl) this.#refuseWrites(superblock.level);
  }

  #refuseWrites(level: string): void {
    if (level !== 'raid5f' || this.#plan.readOnly) return;
    throw takesStripesOnly(this.#plan.name, level);
  }

  async #openRemembered(): Promise<void> {
    const remembered = this.#plan.remembered!;
    this.#refuseWrites(remembered.level);
    const members = [...remembered.members].sort((a, b) => a.slot - b.slot);
    try {
      for (const { path } of members) {
        const { readOnly } = this.#plan;
        const { blockBytes } = remembered;
        const device = makeLeaf({ kind: 'path', path, uuid: null }, { readOnly, blockBytes });
        await device.open(this.#reactor);
        this.#bare.push(device);
      }
    } catch (error) {
      await this.#closeBare();
      throw error;
    }
  }

  async #closeBare(): Promise<void> {
    for (const device of this.#bare.splice(0).reverse()) await device.close();
  }

  async #startManaged(): Promise<void> {
    const ftl = this.#assembly!.ftl;
    this.control.members.setAbsentSpares(await this.#labelled.start(ftl));
    this.#array = this.#labelled.array;
    if (!ftl) await this.#putOnTop(this.#array);
  }

  /** The manager first: it flushes, marks clean and closes the array. */
  async #closeManaged(): Promise<void> {
    try {
      await this.#manager!.close();
    } finally {
      if (this.#ftl === null) await this.#top?.close();
    }
  }

  async #startFtl(): Promise<void> {
    const log = await LogLayers.prepare({
      reactor: this.#reactor,
      array: this.#array!,
      plan: this.#plan,
      emit: this.#emit,
      starting: (ftl) => {
        this.#startedFtl = ftl;
      },
    });
    this.#starting.layers = log;
    await log.openTop((device) => this.#putOnTop(device));
    this.#log = log;
    await this.#manager!.attachSpace(log.ftl.space);
  }

  get #assembly(): Assembly | null {
    return this.#labelled.assembly;
  }

  /** Of an array with superblocks, once it runs. */
  get #manager(): ArrayManager | null {
    return this.#labelled.manager;
  }

  get #ftl() {
    return this.#log?.ftl ?? null;
  }

  /** Its FTL and NV cache, once they are open; null without an FTL. */
  get log(): LogLayers | null {
    return this.#log;
  }

  async #putOnTop(device: BlockDevice): Promise<void> {
    const top = new MeterDevice(device, this.#assembly?.ftl === true);
    await top.open(this.#reactor);
    top.observer = this;
    this.#top = top;
  }

  async #startRemembered(): Promise<void> {
    const spec = rememberedSpec(this.#plan.remembered!, this.#bare);
    const array = new RaidArray(spec, { membersOpened: true });
    this.#array = array;
    await this.#putOnTop(array);
  }

  async #flush(): Promise<void> {
    if (!this.#plan.readOnly && this.#array !== null) await flushDevice(this.#array);
  }

  // --- exports ----------------------------------------------------------------------------------

  exportNbd(options: NbdExportOptions): Promise<ExportStatus> {
    const exporter = nbdExporter(
      options,
      () => this.#reactor.nowUs() / 1000,
      (reason) => this.#emit({ event: 'client-refused', reason }),
    );
    return this.#exports.add(this.#reactor, this.#top!, exporter);
  }

  exportUblk(options: UblkExportOptions): Promise<ExportStatus> {
    const warn = (message: string): void => this.#emit({ event: 'warning', message });
    const exporter = ublkExporter(options, warn);
    return this.#exports.add(this.#reactor, this.#top!, exporter);
  }

  unexport(address: string): Promise<void> {
    return this.#exports.remove(address);
  }

  /**
   * As close(), but the clients of the exports are left to the next server of this stack. Throws
   * when they cannot be handed over, and nothing has changed. What fails after that is given back
   * as a sentence: the next start finds what a crash would have left.
   */
  async handOver(): Promise<string | null> {
    await this.#exports.handOver();
    try {
      await this.close();
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /**
   * Removes the exports, flushes, marks clean, closes everything; a start under way is waited for,
   * because an FTL may be reading its array. Throws the first failure.
   */
  async close(): Promise<void> {
    await this.#opening;
    await this.#exports.removeAll();
    await this.#steps.undo();
  }

  /** Looks whether members have grown; the array follows them. */
  refreshSizes(): void {
    if (this.#manager === null || this.#readOnly) return;
    for (const device of this.#manager.devices()) refreshSize(device);
  }

  /** As it is now; an array may have grown since it was opened. */
  get geometry(): Geometry {
    return this.#top!.geometry;
  }

  // --- what is told -----------------------------------------------------------------------------

  /** How far its start is, or was when it ended: may be asked at any time. */
  get startActivity(): ActivityStatus {
    return this.#starting.status().activity;
  }

  status(): WorkerMethods['status']['result'] {
    if (this.#top === null) return this.#starting.status();
    const array = this.#array!;
    const { spec } = array;
    const health = this.#health();
    const members = array.memberStatus();
    const bad = members.filter((member) => member.health !== 'ok');
    const managed = this.control.status((slot) => this.#assembly?.slots[slot]?.reason ?? null);
    const sizeBytes = this.#sizeBytes;
    const cache = this.#log?.document() ?? null;
    const exportBytes = this.#exports.sizeBytes ?? sizeBytes;
    const grown = grownWords(this.#plan.name, sizeBytes, exportBytes);
    const words = {
      health: managed?.health ?? health,
      reason: (managed === null ? this.#reason(bad) : managed.reason) ?? grown?.reason ?? null,
      action: (managed === null ? stackAction(health) : managed.action) ?? grown?.action ?? null,
    };
    return {
      name: this.#plan.name,
      uuid: spec.uuid ?? this.#plan.uuid,
      ...layerWords(this.#plan.name, { cache, words, readOnly: this.#ftl?.readOnlyReason ?? null }),
      size_bytes: sizeBytes,
      block_size: this.#top!.geometry.blockBytes,
      activity: cacheActivity(managed?.activity ?? IDLE, this.#log?.cache ?? null),
      exports: this.#exports.statuses,
      array: {
        level: spec.level,
        strip_size_bytes: spec.stripBlocks === 0 ? null : spec.stripBlocks * spec.blockBytes,
        superblock_seq: this.#manager?.superblock?.seq ?? this.#assembly?.superblock.seq ?? null,
        members:
          managed?.members ?? members.map((member) => ({ ...member, repaired_blocks: null })),
        spares: managed?.spares ?? [],
      },
      ftl: this.#ftl?.document() ?? null,
      cache,
      io: {
        read: ioStatus(this.#top!.meter(OP_READ)),
        write: ioStatus(this.#top!.meter(OP_WRITE)),
        flush: ioStatus(this.#top!.meter(OP_FLUSH)),
        trim: ioStatus(this.#top!.meter(OP_TRIM)),
      },
    };
  }

  /** The array may have news before what lies on it is open; then the size is as remembered. */
  get #sizeBytes(): number {
    const { geometry } = this.#top ?? {};
    if (geometry === undefined) return this.#plan.remembered?.sizeBytes ?? 0;
    return geometry.blockBytes * geometry.blockCount;
  }

  #health(): Health {
    if (this.#failed) return 'failed';
    return this.#array!.memberStatus().every(({ health }) => health === 'ok')
      ? 'healthy'
      : 'degraded';
  }

  /** It lacks a member, or the mirror under its NV cache does. */
  get #isDegraded(): boolean {
    return this.#health() === 'degraded' || this.#log?.mirror?.status().health === 'degraded';
  }

  #reason(bad: readonly { slot: number; health: string }[]): string | null {
    const texts = bad.map(({ slot, health: why }) => {
      const known = this.#assembly?.slots[slot]?.reason;
      return `the member in slot ${slot} is ${why}${known ? ` (${known})` : ''}`;
    });
    return texts.length === 0 ? null : texts.join('; ');
  }

  #notes(): string[] {
    const reason = this.#reason(
      this.#array!.memberStatus().filter(({ health }) => health !== 'ok'),
    );
    const { found } = this.#labelled;
    const others = found === null ? [] : notesAbout(found, this.control.absentSpares);
    const lost = this.#ftl?.bufferLost === true ? [BUFFER_LOST] : [];
    const { warnings = [] } = this.#assembly ?? {};
    const own = [...warnings, ...lost, ...others, ...(reason === null ? [] : [reason])];
    return [...own, ...(this.#log?.mirror?.notes() ?? [])];
  }

  /** Null for an array without superblock: what is remembered of it is all that is known. */
  #toRemember(): RememberedStack | null {
    if (this.#manager === null) return null;
    const { superblock } = this.#assembly!;
    const old = this.#plan.remembered;
    const base: RememberedStack = {
      name: this.#plan.name,
      uuid: superblock.uuid,
      level: superblock.level,
      stripBytes: superblock.stripBlocks * superblock.blockBytes,
      blockBytes: superblock.blockBytes,
      sizeBytes: this.#sizeBytes,
      superblock: true,
      ftl: this.#ftl !== null,
      members: old?.members ?? [],
      spares: old?.spares ?? [],
      cache: this.#log?.remembered(stableDevicePath) ?? null,
    };
    return rememberMembers(base, this.control.members.present(this.#manager), stableDevicePath);
  }

  // --- observers --------------------------------------------------------------------------------

  deviceFailed(device: BlockDevice, status: number): void {
    const lost = this.#log?.cacheFailure(device) ?? null;
    this.#failed ||= lost === null;
    const why = this.#ftl?.readOnlyReason ?? null;
    this.#emit(lost ?? this.#log?.cacheLoss() ?? failureEvent(statusName(status), why));
  }

  deviceResized(_device: BlockDevice): void {}

  /** An array is as slow as its members; it decides about them itself. */
  deviceOverdue(_device: BlockDevice): boolean {
    return false;
  }
}
