/**
 * Stack: the whole assembled thing, from member devices to the export.              (control plane)
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
import { BandstandError } from '../block/errors.ts';
import { statusName } from '../block/status.ts';
import { type Step, StepRun } from '../block/steps.ts';
import { type ExportStatus, type Health, IDLE } from '../control/schema.ts';
import { MeterDevice } from '../device/meter-device.ts';
import type { Exporter } from '../exporter/exporter.ts';
import { ArrayManager } from '../raid/array-manager.ts';
import { type Assembly, assembleArray } from '../raid/assemble.ts';
import { examineDevice } from '../raid/examine.ts';
import { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { absentSpares, notesAbout } from './absent-spares.ts';
import { cacheActivity } from './cache-document.ts';
import { MEMBER_DEADLINE_US, makeLeaf, refreshSize } from './device-tree.ts';
import { type FoundMembers, findMembers, nameless, presentPath } from './find-members.ts';
import type { FtlLayer } from './ftl-layer.ts';
import { BUFFER_LOST, failureEvent } from './ftl-words.ts';
import { ioStatus } from './io-status.ts';
import { layerWords, stackAction } from './layer-words.ts';
import { LogLayers } from './log-layers.ts';
import { nbdExporter, ublkExporter } from './make-exporter.ts';
import { grownWords } from './managed-status.ts';
import { rememberMembers, stableDevicePath } from './remember-members.ts';
import { rememberedSpec } from './remembered-spec.ts';
import { StackControl } from './stack-control.ts';
import { startFailure, takesStripesOnly } from './start-failure.ts';
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
  #found: FoundMembers | null = null;
  readonly #devices = new Map<string, BlockDevice>();
  /** Devices that are no members and could not be opened → why. */
  readonly #unopened = new Map<string, string>();
  #assembly: Assembly | null = null;
  #array: RaidArray | null = null;
  /** From the moment that its start begins. */
  #startedFtl: FtlLayer | null = null;
  #log: LogLayers | null = null;
  #top: MeterDevice | null = null;
  #exporter: Exporter | null = null;
  #exported: ExportStatus | null = null;
  #failed = false;
  /** Nothing is written to the members. */
  readonly #readOnly: boolean;
  /** Of an array with a superblock, once it runs. */
  #manager: ArrayManager | null = null;
  readonly control: StackControl;
  #opening: Promise<void> = Promise.resolve();

  constructor(reactor: Ring, plan: StackPlan, emit: (event: StackEvent) => void) {
    this.#reactor = reactor;
    this.#plan = plan;
    this.#readOnly = plan.readOnly;
    this.#starting = new StartingStack(plan, emit);
    this.#emit = this.#starting.emit;
    this.#steps = new StepRun<Stack>(this);
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
      health: this.#health() === 'degraded' ? 'degraded' : 'healthy',
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
      run: (stack) => stack.#openFound(),
      undo: (stack) => stack.#closeDevices(),
    },
    { name: 'Read the superblocks', run: (stack) => stack.#readSuperblocks() },
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
      undo: (stack) => stack.#closeDevices(),
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
    this.#found = await findMembers(this.#reactor, this.#plan);
    const { ftl, superblock } = this.#found.assembly;
    if (!ftl) this.#refuseWrites(superblock.level);
  }

  #refuseWrites(level: string): void {
    if (level !== 'raid5f' || this.#plan.readOnly) return;
    throw takesStripesOnly(this.#plan.name, level);
  }

  async #openFound(): Promise<void> {
    const { assembly } = this.#found!;
    const used = assembly.slots.flatMap(({ device }) => (device === null ? [] : [device]));
    await this.#openAll(used.map((name) => this.#leaf(name)));
    if (!this.#readOnly) await this.#openOutsiders();
  }

  /** What is no member now and may become one. That it cannot be opened stops nothing. */
  async #openOutsiders(): Promise<void> {
    const { assembly, others } = this.#found!;
    const failed = assembly.returning.flatMap((one) => (one.failed ? [one.device] : []));
    for (const name of others.filter((device) => !failed.includes(device))) {
      const device = this.#leaf(name);
      try {
        await device.open(this.#reactor);
        this.#devices.set(name, device);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        this.#unopened.set(name, error.message);
        if (assembly.spares.some(({ device }) => device === name)) continue;
        this.#emit({ event: 'warning', message: `${name} is not used: ${error.message}` });
      }
    }
  }

  #leaf(name: string): BlockDevice {
    const { assembly, specs } = this.#found!;
    return makeLeaf(nameless(specs.get(name)!), {
      readOnly: this.#readOnly,
      blockBytes: assembly.superblock.blockBytes,
      deadlineUs: MEMBER_DEADLINE_US,
    });
  }

  async #openRemembered(): Promise<void> {
    const remembered = this.#plan.remembered!;
    this.#refuseWrites(remembered.level);
    const members = [...remembered.members].sort((a, b) => a.slot - b.slot);
    await this.#openAll(
      members.map(({ path }) =>
        makeLeaf(
          { kind: 'path', path, uuid: null },
          { readOnly: this.#plan.readOnly, blockBytes: remembered.blockBytes },
        ),
      ),
    );
  }

  async #openAll(devices: readonly BlockDevice[]): Promise<void> {
    try {
      for (const device of devices) {
        await device.open(this.#reactor);
        this.#devices.set(device.name, device);
      }
    } catch (error) {
      await this.#closeDevices();
      throw error;
    }
  }

  async #closeDevices(): Promise<void> {
    for (const device of [...this.#devices.values()].reverse()) await device.close();
    this.#devices.clear();
  }

  /** Again, now that nobody else can write to the members. */
  async #readSuperblocks(): Promise<void> {
    const examinations = [];
    for (const device of this.#devices.values()) {
      examinations.push(await examineDevice(this.#reactor, device));
    }
    this.#assembly = assembleArray(examinations, this.#found!.options);
  }

  async #startManaged(): Promise<void> {
    const { remembered, devices } = this.#plan;
    const readOnly = this.#readOnly;
    const absent = absentSpares({
      remembered: remembered?.spares ?? [],
      found: this.#found!,
      unopened: this.#unopened,
      given: devices.length > 0,
      readOnly,
      nameOf: presentPath,
    });
    this.control.members.setAbsentSpares(absent);
    const manager = await ArrayManager.start(
      this.#reactor,
      this.#assembly!,
      this.#devices,
      { readOnly, expectsSpace: this.#assembly!.ftl },
      { arrayEvent: (event) => this.control.arrayEvent(event) },
    ).catch((error: unknown) => {
      throw startFailure(error, this.#plan.name, this.#assembly!);
    });
    this.#manager = manager;
    this.#array = manager.array;
    if (!this.#assembly!.ftl) await this.#putOnTop(manager.array);
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
    const spec = rememberedSpec(this.#plan.remembered!, [...this.#devices.values()]);
    const array = new RaidArray(spec, { membersOpened: true });
    this.#array = array;
    await this.#putOnTop(array);
  }

  async #flush(): Promise<void> {
    if (!this.#plan.readOnly && this.#array !== null) await flushDevice(this.#array);
  }

  // --- exports ----------------------------------------------------------------------------------

  exportNbd(options: NbdExportOptions): Promise<ExportStatus> {
    return this.#export(nbdExporter(options));
  }

  exportUblk(options: UblkExportOptions): Promise<ExportStatus> {
    const warn = (message: string): void => this.#emit({ event: 'warning', message });
    return this.#export(ublkExporter(options, warn));
  }

  async #export(exporter: Exporter): Promise<ExportStatus> {
    const { blockCount, blockBytes } = this.#top!.geometry;
    await exporter.start(this.#reactor, this.#top!);
    this.#exporter = exporter;
    this.#exported = { ...exporter.describe(), size_bytes: blockCount * blockBytes };
    return this.#exported;
  }

  async unexport(): Promise<void> {
    const exporter = this.#exporter;
    this.#exporter = null;
    this.#exported = null;
    await exporter?.stop();
  }

  /**
   * Removes the export, flushes, marks clean, closes everything; a start under way is waited for,
   * because an FTL may be reading its array. Throws the first failure.
   */
  async close(): Promise<void> {
    await this.#opening;
    await this.unexport();
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
    const exportBytes = this.#exported?.size_bytes ?? sizeBytes;
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
      exports: this.#exported === null ? [] : [this.#exported],
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
    const found = this.#found === null ? [] : notesAbout(this.#found, this.control.absentSpares);
    const lost = this.#ftl?.bufferLost === true ? [BUFFER_LOST] : [];
    const { warnings = [] } = this.#assembly ?? {};
    return [...warnings, ...lost, ...found, ...(reason === null ? [] : [reason])];
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
