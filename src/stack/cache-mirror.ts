/**
 * CacheMirror: the raid1 array under the NV cache of a stack.                       (control plane)
 *
 * An array like the stack's own: superblocks and labels, a bitmap, a manager. What it tells goes to
 * those who hear of the stack, marked as the cache's; what clients ask of its members and its
 * rebuild comes through `control`. Nothing else of the stack knows that it is more than a device.
 */

import { BandstandError } from '../block/errors.ts';
import type { ArrayStatus } from '../control/schema.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { notesAbout } from './absent-spares.ts';
import { ArrayControl, type ManagedPart } from './array-control.ts';
import { mirrorWords } from './array-words.ts';
import { checkMirror } from './find-cache.ts';
import type { MemberSearch } from './find-members.ts';
import { LabelledArray } from './labelled-array.ts';
import { presentMembers } from './remember-members.ts';
import { startFailure } from './start-failure.ts';
import type { RememberedCache } from './state-store.ts';
import type { StackEvent } from './worker-messages.ts';

export interface CacheMirrorOptions {
  readonly ring: Ring;
  /** Name of the stack. */
  readonly stack: string;
  /** Its UUID is that of the cache. */
  readonly search: MemberSearch;
  /** What has to be on it; null: it was made just now. */
  readonly wanted: FtlCache | null;
  readonly readOnly: boolean;
  emit(event: StackEvent): void;
}

/** After these there may be a device that says it is a member, and is none. */
const DEPARTURES: ReadonlySet<ArrayEvent['kind']> = new Set([
  'member-failed',
  'member-removed',
  'member-in-service',
]);

export class CacheMirror {
  readonly #options: CacheMirrorOptions;
  readonly #labelled: LabelledArray;
  readonly control: ArrayControl;

  private constructor(options: CacheMirrorOptions) {
    const { emit, readOnly, ring, search, stack } = options;
    this.#options = options;
    const words = mirrorWords(stack);
    this.#labelled = new LabelledArray({
      reactor: ring,
      search,
      words,
      readOnly,
      warn: (message) => emit({ event: 'warning', message: `NV cache: ${message}` }),
      arrayEvent: (event) => this.#hear(event),
      startFailure: (error, assembly) => startFailure(error, stack, assembly, 'cache'),
    });
    this.control = new ArrayControl({
      ring,
      words,
      readOnly,
      manager: () => this.#labelled.manager,
      spec: () => this.device.spec,
      ftl: () => null,
      sizeBytes: () => this.device.spec.blockCount * this.device.spec.blockBytes,
      emit: (event) => emit(ofCache(event)),
    });
  }

  /** Told when a device has left, or another one has taken its place. */
  whenLeft: () => void = () => {};

  #hear(event: ArrayEvent): void {
    this.control.arrayEvent(event);
    if (DEPARTURES.has(event.kind)) this.whenLeft();
  }

  /** Throws BandstandError; then nothing is left open. */
  static async open(options: CacheMirrorOptions): Promise<CacheMirror> {
    const mirror = new CacheMirror(options);
    const labelled = mirror.#labelled;
    const { nvCache } = await labelled.find();
    const { ring, search, stack, wanted } = options;
    if (!nvCache) throw noMirror(stack, search);
    if (wanted !== null) await checkMirror(ring, stack, labelled.found!, wanted);
    await labelled.openMembers();
    try {
      await labelled.readSuperblocks();
      // Whatever a rebuild or a resync finds in the ring may be needed: all of it is copied.
      mirror.control.members.setAbsentSpares(await labelled.start(false));
    } catch (error) {
      await labelled.closeMembers();
      throw error;
    }
    return mirror;
  }

  /** What the ring lies on. */
  get device(): RaidArray {
    return this.#labelled.array;
  }

  get name(): string {
    return this.device.name;
  }

  /** Paths of what it lies on at present, as they were opened: for letting go of them. */
  get paths(): string[] {
    const { members, spares } = this.control.status(() => null)!;
    return [...members, ...spares].flatMap(({ device }) => (device === null ? [] : [device]));
  }

  /** Flushes, marks clean and closes its devices. Throws BandstandError after all is closed. */
  async close(): Promise<void> {
    try {
      await this.#labelled.manager!.close();
    } finally {
      await this.#labelled.closeMembers();
    }
  }

  status(): ManagedPart {
    const { assembly } = this.#labelled;
    return this.control.status((slot) => assembly?.slots[slot]?.reason ?? null)!;
  }

  arrayStatus({ members, spares }: ManagedPart): ArrayStatus {
    return {
      level: this.device.spec.level,
      strip_size_bytes: null,
      superblock_seq: this.#labelled.manager!.superblock?.seq ?? null,
      members,
      spares,
    };
  }

  /** Sentences for the user about how it was found. */
  notes(): string[] {
    const { assembly, found } = this.#labelled;
    const { health, reason } = this.status();
    const absent = found === null ? [] : notesAbout(found, this.control.absentSpares);
    const bad = health === 'healthy' || reason === null ? [] : [reason];
    return [...(assembly?.warnings ?? []), ...absent, ...bad].map((note) => `NV cache: ${note}`);
  }

  remembered(stable: (path: string) => string): RememberedCache {
    const { remembered, uuid } = this.#options.search;
    const before = remembered ?? { members: [], spares: [] };
    const present = this.control.members.present(this.#labelled.manager!);
    return { uuid: uuid!, path: null, ...presentMembers(before, present, stable) };
  }
}

/** Events of the array, told as events of the cache. */
function ofCache(event: StackEvent): StackEvent {
  if (event.event === 'members-changed') {
    return { event: 'cache-members-changed', status: event.status };
  }
  return event.event === 'array' ? { ...event, array: markedEvent(event.array) } : event;
}

function markedEvent(event: ArrayEvent): ArrayEvent {
  return {
    ...event,
    message: `NV cache: ${event.message}`,
    details: { ...event.details, array: 'cache' },
  };
}

function noMirror(stack: string, { uuid }: MemberSearch): BandstandError {
  return new BandstandError('BANDSTAND_CACHE_OWNER', {
    message: `cannot use the array ${uuid} as the NV cache of ${stack}: its labels do not say that it is one`,
    hint: 'name the devices of the cache with --cache',
    details: { name: stack, uuid },
  });
}
