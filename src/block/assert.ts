/**
 * Assertions that stay on in production.                                              (both planes)
 *
 * A broken invariant stops the stack rather than go on with wrong data. The message states the
 * positive invariant, as a literal ('band is open'), so that asserting costs a branch and nothing
 * else. Operating errors (a disk fails, a client sends garbage) are never assertions.
 */

export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${invariant}`);
}
