/**
 * LabelledArray: one array with superblocks, from the search for its members to its end.
 *                                                                                 (control plane)
 * A stack has one, and a second one where its NV cache is a mirror. Its start has four parts, which
 * the owner runs as steps of its own: find, open, read again what was found now that nobody else
 * can write to it, and start the manager, which from then on keeps metadata and redundancy.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import { ArrayManager } from '../raid/array-manager.ts';
import { type Assembly, assembleArray } from '../raid/assemble.ts';
import { examineDevice } from '../raid/examine.ts';
import type { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { type AbsentSpare, absentSpares } from './absent-spares.ts';
import type { ArrayWords } from './array-words.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import {
  type FoundMembers,
  findMembers,
  type MemberSearch,
  nameless,
  presentPath,
} from './find-members.ts';

export interface LabelledArrayHost {
  readonly reactor: Ring;
  readonly search: MemberSearch;
  readonly words: ArrayWords;
  /** Nothing is written to the members. */
  readonly readOnly: boolean;
  warn(message: string): void;
  arrayEvent(event: ArrayEvent): void;
  /** What is to be thrown when the array does not start. */
  startFailure(error: unknown, assembly: Assembly): unknown;
}

export class LabelledArray {
  readonly #host: LabelledArrayHost;
  readonly #devices = new Map<string, BlockDevice>();
  /** Devices that are no members and could not be opened → why. */
  readonly #unopened = new Map<string, string>();
  #found: FoundMembers | null = null;
  #assembly: Assembly | null = null;
  #manager: ArrayManager | null = null;

  constructor(host: LabelledArrayHost) {
    this.#host = host;
  }

  /** Null before `find`. */
  get found(): FoundMembers | null {
    return this.#found;
  }

  /** Null before `readSuperblocks`. */
  get assembly(): Assembly | null {
    return this.#assembly;
  }

  /** Null before `start`. */
  get manager(): ArrayManager | null {
    return this.#manager;
  }

  get array(): RaidArray {
    assert(this.#manager !== null, 'an array that is asked for was started');
    return this.#manager.array;
  }

  // --- start ------------------------------------------------------------------------------------

  /** Opens nothing for longer than it looks. Throws BandstandError. */
  async find(): Promise<Assembly> {
    const { reactor, search } = this.#host;
    this.#found = await findMembers(reactor, search);
    return this.#found.assembly;
  }

  /** Throws BandstandError; then nothing is open. */
  async openMembers(): Promise<void> {
    const { assembly } = this.#found!;
    const used = assembly.slots.flatMap(({ device }) => (device === null ? [] : [device]));
    try {
      for (const name of used) {
        const device = this.#leaf(name);
        await device.open(this.#host.reactor);
        this.#devices.set(name, device);
      }
    } catch (error) {
      await this.closeMembers();
      throw error;
    }
    if (!this.#host.readOnly) await this.#openOutsiders();
  }

  /** What is no member now and may become one. That it cannot be opened stops nothing. */
  async #openOutsiders(): Promise<void> {
    const { assembly, others } = this.#found!;
    const failed = assembly.returning.flatMap((one) => (one.failed ? [one.device] : []));
    for (const name of others.filter((device) => !failed.includes(device))) {
      const device = this.#leaf(name);
      try {
        await device.open(this.#host.reactor);
        this.#devices.set(name, device);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        this.#unopened.set(name, error.message);
        if (assembly.spares.some(({ device }) => device === name)) continue;
        this.#host.warn(`${name} is not used: ${error.message}`);
      }
    }
  }

  #leaf(name: string): BlockDevice {
    const { assembly, specs } = this.#found!;
    return makeLeaf(nameless(specs.get(name)!), {
      readOnly: this.#host.readOnly,
      blockBytes: assembly.superblock.blockBytes,
      deadlineUs: MEMBER_DEADLINE_US,
    });
  }

  async closeMembers(): Promise<void> {
    for (const device of [...this.#devices.values()].reverse()) await device.close();
    this.#devices.clear();
  }

  /** Again, now that nobody else can write to the members. Throws BandstandError. */
  async readSuperblocks(): Promise<void> {
    const examinations = [];
    for (const device of this.#devices.values()) {
      examinations.push(await examineDevice(this.#host.reactor, device));
    }
    this.#assembly = assembleArray(examinations, this.#found!.options);
  }

  /**
   * Gives the spares that are not here; the members are the manager's then. `expectsSpace`: nothing
   * is copied before somebody has said what of the array is in use. Throws BandstandError.
   */
  async start(expectsSpace: boolean): Promise<AbsentSpare[]> {
    const { reactor, readOnly, search, words } = this.#host;
    const absent = absentSpares({
      remembered: search.remembered?.spares ?? [],
      found: this.#found!,
      unopened: this.#unopened,
      given: search.devices.length > 0,
      readOnly,
      nameOf: presentPath,
    });
    this.#manager = await ArrayManager.start(
      reactor,
      this.#assembly!,
      this.#devices,
      { readOnly, expectsSpace, address: words },
      { arrayEvent: (event) => this.#host.arrayEvent(event) },
    ).catch((error: unknown) => {
      throw this.#host.startFailure(error, this.#assembly!);
    });
    return absent;
  }
}
