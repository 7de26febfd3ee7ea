import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { SimulatedMemory } from '../../src/reactor/simulated-memory.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';

const BYTES = 8192;

function life(surviving: SimulatedMemory) {
  const { arena, surviving: memory } = new SimulatedReactor({ arenaBytes: 2 ** 16, surviving });
  return { arena, memory: memory! };
}

test('what a killed process had in its memory is found by the next one', (t) => {
  const machine = new SimulatedMemory(BYTES);
  const first = life(machine);
  t.false(first.memory.isAdopted);
  first.arena.u8.fill(7, first.memory.at, first.memory.at + BYTES);
  machine.kill();
  // The arena of a dead process is used for something else.
  first.arena.u8.fill(0xa5);
  t.true(machine.isLeft);
  const second = life(machine);
  t.true(second.memory.isAdopted);
  t.true(
    second.arena.u8.subarray(second.memory.at, second.memory.at + BYTES).every((b) => b === 7),
  );
});

test('new memory is all zero, whatever the arena held', (t) => {
  const arena = new Arena(new ArrayBuffer(2 ** 16), 0);
  arena.u8.fill(0xa5);
  const surviving = new SimulatedMemory(BYTES);
  const { at, isAdopted } = new SimulatedReactor({ arena, surviving }).surviving!;
  t.false(isAdopted);
  t.true(arena.u8.subarray(at, at + BYTES).every((byte) => byte === 0));
});

test('a power cut takes the memory, from a running process and a killed one', (t) => {
  const machine = new SimulatedMemory(BYTES);
  life(machine).arena.u8.fill(7);
  machine.powerCut();
  t.false(life(machine).memory.isAdopted);
  machine.kill();
  machine.powerCut();
  t.false(life(machine).memory.isAdopted);
});

test('what was discarded is not found', (t) => {
  const machine = new SimulatedMemory(BYTES);
  life(machine).memory.discard();
  machine.kill();
  t.false(machine.isLeft);
  t.false(life(machine).memory.isAdopted);
});

test('surviving memory is no part of what the arena gives away', (t) => {
  const { arena, memory } = life(new SimulatedMemory(BYTES));
  t.is(arena.freeBytes, 2 ** 16 - BYTES);
  t.is(memory.at, 2 ** 16 - BYTES);
  t.is(memory.bytes, BYTES);
});

test('one process at a time has the memory', (t) => {
  const machine = new SimulatedMemory(BYTES);
  t.throws(() => machine.kill(), { message: /the process that dies/ });
  life(machine);
  t.throws(() => life(machine), { message: /one process at a time/ });
});

test('a reactor that was made without surviving memory has none', (t) => {
  t.is(new SimulatedReactor().surviving, null);
});
