/**
 * SimDisk: one program's open handle on a SimMedium, as a strict BlockDevice.
 *
 * It asserts what the layer above owes it (range, alignment, features, flags, an open device),
 * completes operations after latencies in virtual time and therefore out of order, and carries each
 * out somewhere between its submission and its completion. A payload is looked at as late as that,
 * so that a buffer which is reused too early shows. After a crash the handle is dead: it completes
 * nothing any more, and what was in flight is settled by the medium.
 */

import { assert } from '../../src/block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  FEATURE_FUA,
  FEATURE_TRIM_ZEROES,
  type Geometry,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  type Op,
} from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { type Reactor, Timer } from '../../src/block/reactor.ts';
import { EIO, ENODEV, OK } from '../../src/block/status.ts';
import type { DiskFault } from './disk-fault.ts';
import { freshBytes } from './fresh-bytes.ts';
import type { Decide, SimMedium, SimWrite } from './medium.ts';
import type { Random } from './random.ts';

export interface Latency {
  readonly leastUs: number;
  readonly mostUs: number;
  /** How likely an operation takes a hundred times as long. */
  readonly slowChance: number;
}

const HANG_US = 120_000_000;
const REQUEST_BYTES_MAX = 256 * 1024;

/** The world around the disks: it is told about each operation, and may make it fail. */
export interface DiskHost {
  /** Called as an operation is submitted; the fault that it suffers, or null. */
  ioSubmitted(disk: SimDisk, io: BlockIo): DiskFault | null;
  /** Called when it is in flight: a crash now finds it there. */
  ioStarted(disk: SimDisk, io: BlockIo): void;
  /** Called when it was carried out (or failed), before it completes. */
  ioDone(disk: SimDisk, io: BlockIo, status: number): void;
}

/** An operation in flight. */
class Flight extends Timer {
  readonly disk: SimDisk;
  readonly io: BlockIo;
  readonly op: Op;
  readonly fua: boolean;
  readonly fault: DiskFault | null;
  readonly tick: number;
  write: SimWrite | null = null;
  carriedOut = false;

  constructor(disk: SimDisk, io: BlockIo, fault: DiskFault | null, tick: number) {
    super();
    this.disk = disk;
    this.io = io;
    this.op = io.op;
    this.fua = (io.flags & FLAG_FUA) !== 0;
    this.fault = fault;
    this.tick = tick;
  }

  expire(): void {
    this.disk.flightDone(this);
  }
}

export class SimDisk implements BlockDevice {
  readonly medium: SimMedium;
  readonly name: string;
  geometry: Geometry;
  observer: DeviceObserver | null = null;
  isOpen = false;
  /** Unplugged while it was open. */
  gone = false;
  /** Operations that have failed though it was there. */
  failures = 0;
  readonly #host: DiskHost;
  readonly #random: Random;
  readonly #latency: Latency;
  readonly #flights = new Set<Flight>();
  #reactor: Reactor | null = null;
  #dead = false;
  #closing = false;
  #drained: (() => void) | null = null;

  constructor(medium: SimMedium, host: DiskHost, random: Random, latency: Latency) {
    const { options } = medium;
    this.medium = medium;
    this.name = options.name;
    this.#host = host;
    this.#random = random;
    this.#latency = latency;
    this.geometry = {
      blockBytes: options.blockBytes,
      blockCount: options.blockCount,
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: options.optimalBoundaryBlocks ?? 0,
      requestBlocksMax: REQUEST_BYTES_MAX / options.blockBytes,
      physicalBlockBytes: options.blockBytes,
      rotational: false,
      volatileCache: options.volatileCache,
      features: options.features,
      trimGranularityBlocks: 1,
    };
  }

  async open(reactor: Reactor): Promise<void> {
    assert(!this.isOpen, 'a device is opened once');
    if (this.medium.away) {
      throw new BandstandError('BANDSTAND_DEVICE_MISSING', {
        message: `cannot open ${this.name}: it is not there`,
        details: { device: this.name },
      });
    }
    this.#reactor = reactor;
    this.isOpen = true;
    this.#closing = false;
  }

  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.#closing = true;
    if (this.#flights.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.isOpen = false;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  submit(io: BlockIo): void {
    const reactor = this.#reactor;
    assert(reactor !== null && this.isOpen && !this.#closing, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    assert(io.op === OP_FLUSH || Number.isInteger(io.block), 'a position is a whole number');
    if ((io.flags & FLAG_FUA) !== 0 && io.op !== OP_READ) {
      assert((this.geometry.features & FEATURE_FUA) !== 0, 'FUA is native');
    }
    if (this.#dead) return;
    const fault = this.gone ? null : this.#host.ioSubmitted(this, io);
    const flight = new Flight(this, io, fault, this.medium.tick());
    this.#flights.add(flight);
    if (io.op !== OP_READ && io.op !== OP_FLUSH) {
      flight.write = this.medium.makeWrite(this.#landingBlock(io, fault), io.blockCount, null);
      // Half of the writes happen at once and complete later, the others the other way round.
      if (!this.gone && fault === null && this.#random.chance(0.5)) this.#carryOut(flight);
    }
    reactor.schedule(flight, fault?.kind === 'hang' ? HANG_US : this.#drawUs());
    if (!this.gone) this.#host.ioStarted(this, io);
  }

  /** A flight's time has come. */
  flightDone(flight: Flight): void {
    if (this.#dead) return;
    const { io } = flight;
    const status = this.gone ? ENODEV : this.#finishFlight(flight);
    this.#flights.delete(flight);
    this.#reactor!.finish(io, status);
    this.#host.ioDone(this, io, status);
    if (this.#flights.size === 0) this.#drained?.();
  }

  /** The program has died; nothing completes any more. Gives what was in flight and not done. */
  die(): SimWrite[] {
    this.#dead = true;
    const left = this.#unfinished();
    this.#flights.clear();
    return left;
  }

  /** Writes in flight that did not happen yet; those that did are in the cache from now on. */
  #unfinished(): SimWrite[] {
    const left: SimWrite[] = [];
    for (const flight of this.#flights) {
      if (flight.write === null || this.gone) continue;
      if (flight.carriedOut) this.medium.complete(flight.write, false);
      else {
        this.#takePayload(flight);
        left.push(flight.write);
      }
    }
    return left;
  }

  /** Pulled out. Without power its cache is lost as `decide` says; null keeps the cache. */
  vanish(decide: Decide | null): void {
    if (this.gone) return;
    const left = this.#unfinished();
    if (decide === null) this.medium.kill(this.#randomly, left);
    else this.medium.cutPower(decide, left);
    this.gone = true;
    this.medium.away = true;
    const marker = new BlockIo();
    marker.completer = { complete: () => this.observer?.deviceFailed(this, ENODEV) };
    this.#reactor?.finish(marker, OK);
  }

  /** The medium has grown, and who has it open is told. */
  grew(): void {
    this.geometry = { ...this.geometry, blockCount: this.medium.options.blockCount };
    this.observer?.deviceResized(this);
  }

  describe(): DeviceDescription {
    return { kind: 'sim', name: this.name, children: [], details: {} };
  }

  readonly #randomly: Decide = () => this.#random.chance(0.5);

  #drawUs(): number {
    const { leastUs, mostUs, slowChance } = this.#latency;
    const us = this.#random.between(leastUs, mostUs);
    return slowChance > 0 && this.#random.chance(slowChance) ? us * 100 : us;
  }

  #finishFlight(flight: Flight): number {
    const { fault, io } = flight;
    if (fault?.kind === 'fail') return this.#fail(flight);
    if (flight.op === OP_READ) return this.#read(io, fault);
    if (flight.op === OP_FLUSH) {
      this.medium.flush(flight.tick);
      return OK;
    }
    if (!flight.carriedOut) this.#carryOut(flight);
    this.medium.complete(flight.write!, flight.fua);
    return OK;
  }

  /** Where a write lands: right behind where it should, when it is misplaced and fits there. */
  #landingBlock(io: BlockIo, fault: DiskFault | null): number {
    const behind = io.block + io.blockCount;
    const fits = behind + io.blockCount <= this.geometry.blockCount;
    return fault?.kind === 'misplaced' && fits ? behind : io.block;
  }

  /** A failed write has happened or not, or in part; a failed flush may lose what it covers. */
  #fail(flight: Flight): number {
    this.failures += 1;
    if (flight.op === OP_FLUSH) {
      this.medium.failFlush(this.#flushedBy(flight), flight.tick, () => this.#random.chance(0.5));
    } else if (flight.op !== OP_READ) {
      const share = this.#random.pick([0, 0.5, 1]);
      this.#takePayload(flight);
      this.medium.apply(flight.write!, () => this.#random.chance(share));
      this.medium.complete(flight.write!, false);
    }
    return EIO;
  }

  /** What completed before this tick is covered by another flush that is under way. */
  #flushedBy(failed: Flight): number {
    let latest = 0;
    for (const flight of this.#flights) {
      if (flight === failed || flight.op !== OP_FLUSH || flight.fault?.kind === 'fail') continue;
      latest = Math.max(latest, flight.tick);
    }
    return latest;
  }

  #read(io: BlockIo, fault: DiskFault | null): number {
    const { bad, now } = this.medium;
    if (bad.size > 0) {
      for (let block = io.block; block < io.block + io.blockCount; block += 1) {
        if (!bad.has(block)) continue;
        // A write may have made it good before somebody asks why this read has failed.
        this.failures += 1;
        return EIO;
      }
    }
    const { blockBytes } = this.geometry;
    const { u8 } = this.#reactor!.arena;
    const bytes = io.blockCount * blockBytes;
    now.read(io.block * blockBytes, u8, io.buffer, bytes);
    if (fault?.kind === 'flipped') this.#flip(u8, io.buffer, bytes);
    return OK;
  }

  #carryOut(flight: Flight): void {
    flight.carriedOut = true;
    const write = flight.write!;
    const trims = flight.op === OP_TRIM;
    this.#takePayload(flight);
    if (flight.fault?.kind === 'lost') return;
    // Without that promise the content after a trim is anything: here, what it was, or garbage.
    if (trims && (this.geometry.features & FEATURE_TRIM_ZEROES) === 0) {
      if (this.#random.chance(0.5)) return;
      write.bytes = new Uint8Array(write.blockCount * this.geometry.blockBytes).fill(0xdb);
    }
    this.medium.apply(write);
  }

  #takePayload(flight: Flight): void {
    const { io, write, fault } = flight;
    if (flight.op !== OP_WRITE || write === null || write.bytes !== null) return;
    const bytes = write.blockCount * this.geometry.blockBytes;
    write.bytes = freshBytes(bytes);
    write.bytes.set(this.#reactor!.arena.u8.subarray(io.buffer, io.buffer + bytes));
    if (fault?.kind === 'flipped') this.#flip(write.bytes, 0, bytes);
  }

  #flip(bytes: Uint8Array, at: number, count: number): void {
    const index = at + this.#random.below(count);
    bytes[index] = bytes[index]! ^ (1 << this.#random.below(8));
  }
}
