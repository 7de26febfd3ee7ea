/**
 * An NBD export of a RamDevice on a FakeRing, with clients, for one test.
 */

import type { ExecutionContext } from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { NbdExporter, type NbdExporterOptions } from '../../src/exporter/nbd/nbd-exporter.ts';
import { type FakePeer, FakeRing } from './fake-ring.ts';
import { NbdClient, type NbdClientOptions, NbdRequestError } from './nbd-client.ts';
import { RamDevice, type RamOptions } from './ram-device.ts';

export interface NbdFixtureOptions {
  readonly seed?: number;
  readonly fragment?: boolean;
  readonly device?: Partial<RamOptions>;
  readonly exporter?: Partial<NbdExporterOptions>;
  readonly arenaBytes?: number;
}

export class NbdFixture {
  readonly ring: FakeRing;
  readonly device: RamDevice;
  readonly exporter: NbdExporter;
  /** Reasons of connections that were closed, in order; null after a proper end. */
  readonly closed: (string | null)[] = [];
  readonly refused: string[] = [];

  private constructor(options: NbdFixtureOptions) {
    const arena = new Arena(new ArrayBuffer(options.arenaBytes ?? 48 * 2 ** 20), 0);
    this.ring = new FakeRing({
      arena,
      seed: options.seed ?? 1,
      fragment: options.fragment ?? false,
    });
    this.device = new RamDevice('ram', {
      blockCount: 4096,
      blockBytes: 4096,
      ...options.device,
    });
    this.exporter = new NbdExporter({
      name: 'disk',
      description: 'a disk for tests',
      address: { unix: '/run/fake.sock' },
      observer: {
        connectionOpened: () => {},
        connectionClosed: (_open, reason) => this.closed.push(reason),
        connectionRefused: (reason) => this.refused.push(reason),
      },
      ...options.exporter,
    });
  }

  static async start(options: NbdFixtureOptions = {}): Promise<NbdFixture> {
    const fixture = new NbdFixture(options);
    await fixture.device.open(fixture.ring);
    await fixture.drive(fixture.exporter.start(fixture.ring, fixture.device));
    return fixture;
  }

  drive<T>(promise: Promise<T>): Promise<T> {
    return this.ring.drive(promise);
  }

  peer(): FakePeer {
    return this.ring.connect();
  }

  /** A client in the transmission phase. */
  client(options: NbdClientOptions = {}): Promise<NbdClient> {
    return this.drive(NbdClient.over(this.peer().stream(), options));
  }

  /** A client in the handshake, greeted. */
  async greeted(): Promise<NbdClient> {
    const client = new NbdClient(this.peer().stream());
    await this.drive(client.greet());
    return client;
  }

  /** The NBD error value with which `promise` is refused; 0 when it succeeds. */
  async errorOf(promise: Promise<unknown>): Promise<number> {
    try {
      await this.drive(promise);
      return 0;
    } catch (error) {
      if (error instanceof NbdRequestError) return error.errno;
      throw error;
    }
  }

  /** Stops the export and checks that nothing of it is left. */
  async stop(t: ExecutionContext): Promise<void> {
    await this.drive(this.exporter.stop());
    t.is(this.device.inFlight, 0);
    await this.device.close();
    t.deepEqual(this.ring.leaks(), []);
    t.is(this.ring.arena.freeBytes, this.ring.arena.bytes);
  }
}

/** Bytes that tell their position (modulo 64 KiB) and a tag. */
export function pattern(bytes: number, tag: number): Buffer {
  const data = Buffer.alloc(bytes);
  const period = Math.min(bytes, 65_536);
  for (let at = 0; at < period; at += 1) data[at] = (at * 31 + (at >>> 8) * 7 + tag * 101) & 0xff;
  for (let at = period; at < bytes; at *= 2) data.copyWithin(at, 0, at);
  return data;
}
