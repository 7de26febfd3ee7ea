/**
 * A RingReactor for tests, small enough that many in one process fit the locked-memory limit, and
 * timers, hooks and operations that call a function.
 */

import { BlockIo } from '../../src/block/block-io.ts';
import { Timer, TurnHook } from '../../src/block/reactor.ts';
import { loadAddon } from '../../src/native/load.ts';
import { RingReactor, type RingReactorOptions } from '../../src/reactor/ring-reactor.ts';

export function openRingReactor(options: Partial<RingReactorOptions> = {}): RingReactor {
  return RingReactor.create({
    native: loadAddon(),
    arenaBytes: 16 * 2 ** 20,
    hugePages: false,
    seed: 1,
    ...options,
  });
}

export class Expiry extends Timer {
  readonly run: () => void;

  constructor(run: () => void) {
    super();
    this.run = run;
  }

  expire(): void {
    this.run();
  }
}

export class Hook extends TurnHook {
  readonly run: () => void;

  constructor(run: () => void) {
    super();
    this.run = run;
  }

  endOfTurn(): void {
    this.run();
  }
}

export function ioThen(run: () => void): BlockIo {
  const io = new BlockIo();
  io.completer = { complete: run };
  return io;
}

/** The result of one ring operation. */
export function result(reactor: RingReactor, start: (handlerId: number) => void): Promise<number> {
  return new Promise((resolve) => {
    const handlerId = reactor.registerHandler({
      ringComplete(_token, value) {
        reactor.unregisterHandler(handlerId);
        resolve(value);
      },
    });
    start(handlerId);
  });
}

export async function withReactor(
  body: (reactor: RingReactor) => Promise<void>,
  options: Parameters<typeof openRingReactor>[0] = {},
): Promise<void> {
  const reactor = openRingReactor(options);
  try {
    await body(reactor);
  } finally {
    await reactor.close();
  }
}
