/**
 * Turns a simulated reactor until something has happened.
 *
 * SimulatedReactor.drive goes through the event loop once per turn, which costs more than the turn
 * itself. Here promises get their turns by a few `await null`, and time advances when neither the
 * reactor nor a promise had anything to do for so many rounds. Fewer rounds than a chain of
 * promises is long would only mean that the control plane is slow, which it may be.
 */

import type { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';

/** Rounds without an event after which time advances. */
export const PATIENCE = 12;
/** Rounds without an event and without a timer after which nothing will ever happen. */
const STUCK = 2000;
/** Turns after which a history is taken to run in circles. */
const TURNS_MAX = 2_000_000;

/** Thrown through the interpreter when the program under test has died. */
export class Crashed extends Error {
  override readonly name = 'Crashed';
}

export class Stuck extends Error {
  override readonly name = 'Stuck';
}

export interface Mortal {
  readonly dead: boolean;
}

/** Runs until `done` says so. Throws Crashed when `life` has died before. */
export async function driveUntil(
  reactor: SimulatedReactor,
  life: Mortal,
  done: () => boolean,
  what: string,
): Promise<void> {
  let idle = 0;
  for (let turns = 0; ; ) {
    if (life.dead) throw new Crashed('the program has died');
    if (done()) return;
    if (reactor.busy) {
      reactor.turn();
      idle = 0;
      turns += 1;
      if (turns > TURNS_MAX) throw new Stuck(`${what} does not end`);
    } else {
      idle += 1;
      if (idle >= PATIENCE && reactor.advance()) idle = 0;
      if (idle > STUCK) throw new Stuck(`${what} waits for something that never happens`);
    }
    await null;
  }
}

/** Runs until the promise settles and gives its outcome. */
export async function drive<Result>(
  reactor: SimulatedReactor,
  life: Mortal,
  promise: Promise<Result>,
  what: string,
): Promise<Result> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  await driveUntil(reactor, life, () => settled, what);
  return promise;
}
