/**
 * ErrorDevice: fails chosen operations of the device below; for tests and drills.     (data plane)
 *
 * A list of faults, each with the kinds of operation, the block range and the count of matching
 * operations that it applies to; the first fault that strikes decides the status. Faults can be
 * added and removed at any time. A struck operation never reaches the lower device, so its blocks
 * keep their old content, which law 5 allows. `vanish` makes the whole device disappear.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, DeviceDescription } from '../block/block-device.ts';
import { BlockIo, type Completer, OP_FLUSH, type Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO, ENODEV, OK } from '../block/status.ts';
import { FilterDevice } from './filter-device.ts';
import { afterCompletions } from './leaf-device.ts';

/** Which operations to fail. Everything absent means "any". */
export interface FaultRule {
  readonly ops?: readonly Op[];
  /** Operations that touch [firstBlock, firstBlock + blockCount); flushes have no blocks. */
  readonly firstBlock?: number;
  readonly blockCount?: number;
  /** Matching operations to let pass first: `skip: k - 1, times: 1` fails exactly the k-th. */
  readonly skip?: number;
  /** Of the matching operations after that, fail every n-th. Default 1: all. */
  readonly every?: number;
  /** How many to fail before the fault is spent. */
  readonly times?: number;
  /** Positive errno; default EIO. */
  readonly status?: number;
}

/** A fault in force; the counts are live. */
export class Fault {
  readonly status: number;
  matched = 0;
  struck = 0;
  readonly #opMask: number;
  readonly #firstBlock: number;
  readonly #endBlock: number;
  readonly #ranged: boolean;
  readonly #skip: number;
  readonly #every: number;
  readonly #times: number;

  constructor(rule: FaultRule) {
    this.status = rule.status ?? EIO;
    assert(this.status > 0, 'a fault has an error status');
    this.#opMask = rule.ops?.reduce<number>((mask, op) => mask | (1 << op), 0) ?? 0xff;
    this.#ranged = rule.firstBlock !== undefined || rule.blockCount !== undefined;
    this.#firstBlock = rule.firstBlock ?? 0;
    this.#endBlock = this.#firstBlock + (rule.blockCount ?? Number.POSITIVE_INFINITY);
    this.#skip = rule.skip ?? 0;
    this.#every = rule.every ?? 1;
    this.#times = rule.times ?? Number.POSITIVE_INFINITY;
  }

  /** Counts the operation; true when it is to fail. */
  strikes(io: BlockIo): boolean {
    if ((this.#opMask & (1 << io.op)) === 0) return false;
    if (this.#ranged) {
      if (io.op === OP_FLUSH) return false;
      if (io.block >= this.#endBlock || io.block + io.blockCount <= this.#firstBlock) return false;
    }
    this.matched += 1;
    const position = this.matched - this.#skip;
    if (position <= 0 || position % this.#every !== 0 || this.struck >= this.#times) return false;
    this.struck += 1;
    return true;
  }
}

export class ErrorDevice extends FilterDevice {
  #faults: Fault[] = [];
  #goneStatus = OK;

  constructor(lower: BlockDevice, rules: readonly FaultRule[] = []) {
    super(lower);
    for (const rule of rules) this.addFault(rule);
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  addFault(rule: FaultRule): Fault {
    const fault = new Fault(rule);
    this.#faults = [...this.#faults, fault];
    return fault;
  }

  removeFault(fault: Fault): void {
    this.#faults = this.#faults.filter((candidate) => candidate !== fault);
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** From now on everything fails with `status`; the observer is told in a later turn. */
  vanish(status = ENODEV): void {
    const reactor = this.reactor;
    assert(reactor !== null, 'the device is open');
    assert(status > 0, 'a device vanishes with an error status');
    if (this.#goneStatus !== OK) return;
    this.#goneStatus = status;
    const marker = new BlockIo();
    const announce: Completer = { complete: () => this.observer?.deviceFailed(this, status) };
    marker.completer = announce;
    reactor.finish(marker, OK);
  }

  /** The device is back, with the content that it had. */
  restore(): void {
    this.#goneStatus = OK;
  }

  submit(io: BlockIo): void {
    const reactor = this.reactor;
    assert(reactor !== null, 'the device is open');
    const status = this.#statusFor(io);
    if (status === OK) this.lower.submit(io);
    else reactor.finish(io, status);
  }

  #statusFor(io: BlockIo): number {
    if (this.#goneStatus !== OK) return this.#goneStatus;
    const faults = this.#faults;
    for (let index = 0; index < faults.length; index += 1) {
      const fault = faults[index]!;
      if (fault.strikes(io)) return fault.status;
    }
    return OK;
  }

  protected override drain(reactor: Reactor): Promise<void> {
    return afterCompletions(reactor);
  }

  describe(): DeviceDescription {
    return {
      kind: 'error',
      name: this.name,
      children: [this.lower.describe()],
      details: {
        faults: this.#faults.length,
        struck: this.#faults.reduce((sum, fault) => sum + fault.struck, 0),
        gone: this.#goneStatus !== OK,
      },
    };
  }
}
