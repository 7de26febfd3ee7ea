/**
 * WriteGate: keeps writes apart where one of them has to read, modify and write a block.
 *                                                                                      (data plane)
 * A write that covers a block only in part is done as read, modify, write. Between its read and
 * its write no other write may touch that block, or the other's acknowledged bytes would be
 * replaced by what was read before. Ordinary writes may overlap one another freely: their order is
 * not promised. So every write of an export, on whatever connection, passes this gate:
 *
 *   - ordinary (shared) against ordinary: never waits;
 *   - partial (exclusive) against any, and any against partial: the later one waits.
 *
 * Waiting is first come, first served among writes that conflict, so that a stream of ordinary
 * writes cannot starve a partial one. While no partial write is about, entering and leaving cost a
 * linked-list insertion and removal.
 *
 * The gate is of one exporter: another exporter on the same device would not be seen.
 */

import { assert } from '../../block/assert.ts';
import type { NbdRequest } from './nbd-request.ts';

const OUTSIDE = 0;
const WAITING_SHARED = 1;
const WAITING_EXCLUSIVE = 2;
const ACTIVE_SHARED = 3;
const ACTIVE_EXCLUSIVE = 4;

/** Told when a request that had to wait may go on. */
export interface GateOwner {
  gateOpened(request: NbdRequest): void;
}

class GateList {
  head: NbdRequest | null = null;
  tail: NbdRequest | null = null;

  append(request: NbdRequest): void {
    request.gatePrevious = this.tail;
    request.gateNext = null;
    if (this.tail === null) this.head = request;
    else this.tail.gateNext = request;
    this.tail = request;
  }

  remove(request: NbdRequest): void {
    const { gatePrevious, gateNext } = request;
    if (gatePrevious === null) this.head = gateNext;
    else gatePrevious.gateNext = gateNext;
    if (gateNext === null) this.tail = gatePrevious;
    else gateNext.gatePrevious = gatePrevious;
    request.gatePrevious = null;
    request.gateNext = null;
  }
}

export class WriteGate {
  readonly #owner: GateOwner;
  readonly #active = new GateList();
  readonly #waiting = new GateList();
  /** Partial writes that are active or waiting. */
  #exclusives = 0;
  /** Guards `#open` against a request that is done at once, and leaves, when it is let in. */
  #opening = false;
  #reopen = false;

  constructor(owner: GateOwner) {
    this.#owner = owner;
  }

  /** True when the request may go on now; otherwise `gateOpened` comes later. */
  enter(request: NbdRequest, exclusive: boolean): boolean {
    assert(request.gateState === OUTSIDE, 'a request enters the gate once');
    if (exclusive) this.#exclusives += 1;
    if (this.#exclusives > 0 && this.#blocked(request, exclusive, null)) {
      request.gateState = exclusive ? WAITING_EXCLUSIVE : WAITING_SHARED;
      this.#waiting.append(request);
      return false;
    }
    request.gateState = exclusive ? ACTIVE_EXCLUSIVE : ACTIVE_SHARED;
    this.#active.append(request);
    return true;
  }

  leave(request: NbdRequest): void {
    assert(request.gateState >= ACTIVE_SHARED, 'a request leaves the gate that it passed');
    if (request.gateState === ACTIVE_EXCLUSIVE) this.#exclusives -= 1;
    request.gateState = OUTSIDE;
    this.#active.remove(request);
    if (this.#waiting.head !== null) this.#open();
  }

  /** True when the request is inside, so that it has to leave. */
  holds(request: NbdRequest): boolean {
    return request.gateState >= ACTIVE_SHARED;
  }

  #open(): void {
    this.#reopen = true;
    if (this.#opening) return;
    this.#opening = true;
    while (this.#reopen) {
      this.#reopen = false;
      this.#openOnce();
    }
    this.#opening = false;
  }

  /** Lets in, in order, everyone whose way is free now. */
  #openOnce(): void {
    let request = this.#waiting.head;
    while (request !== null) {
      const next: NbdRequest | null = request.gateNext;
      const exclusive = request.gateState === WAITING_EXCLUSIVE;
      if (!this.#blocked(request, exclusive, request)) {
        this.#waiting.remove(request);
        request.gateState = exclusive ? ACTIVE_EXCLUSIVE : ACTIVE_SHARED;
        this.#active.append(request);
        this.#owner.gateOpened(request);
        // The list may have changed: `next` is only to be trusted when nobody left meanwhile.
        if (this.#reopen) return;
      }
      request = next;
    }
  }

  /** Whether an active write, or one that waits before `until` (null: all of them), conflicts. */
  #blocked(request: NbdRequest, exclusive: boolean, until: NbdRequest | null): boolean {
    return (
      conflicts(this.#active.head, request, exclusive, null) ||
      conflicts(this.#waiting.head, request, exclusive, until)
    );
  }
}

function conflicts(
  head: NbdRequest | null,
  request: NbdRequest,
  exclusive: boolean,
  until: NbdRequest | null,
): boolean {
  for (let other = head; other !== null && other !== until; other = other.gateNext) {
    const otherExclusive =
      other.gateState === ACTIVE_EXCLUSIVE || other.gateState === WAITING_EXCLUSIVE;
    if (
      (exclusive || otherExclusive) &&
      other.block < request.block + request.blockCount &&
      request.block < other.block + other.blockCount
    ) {
      return true;
    }
  }
  return false;
}
