/**
 * A server's process as far as surviving memory goes: opens a reactor with it, says what it found,
 * does what it is told, and waits to be killed.
 *
 *   surviving-child.ts PATH BYTES ACTION [FILE]
 *
 * Actions: `fill` stores a pattern from JavaScript, from the kernels and from a device (FILE, 4096
 * bytes, read by the ring); `discard` gives the memory up before it waits; `look` does nothing.
 */

import { constants } from 'node:fs';
import { loadAddon } from '../../src/native/load.ts';
import { openRingReactor, result } from '../_helpers/ring-reactor.ts';

const [path, bytes, action, file] = process.argv.slice(2);
const reactor = openRingReactor({ surviving: { path: path!, bytes: Number(bytes) } });
const memory = reactor.surviving!;
const first = reactor.arena.u32[memory.at / 4];

if (action === 'fill') {
  const { at } = memory;
  reactor.arena.u8.fill(0x5a, at, at + 4096);
  reactor.kernels.copy(at + 4096, at, 4096);
  reactor.arena.u8[at + memory.bytes - 1] = 0x77;
  const fd = loadAddon().fileOpen(file!, constants.O_RDONLY, 0);
  const slot = reactor.registerFile(fd);
  const moved = await reactor.drive(
    result(reactor, (handler) => reactor.readAt(slot, 0, at + 8192, 4096, handler, 0)),
  );
  if (moved !== 4096) throw new Error(`the ring read ${moved}`);
}
if (action === 'discard') memory.discard();

const { arena_registered } = reactor.stats;
const { isAdopted } = memory;
console.log(JSON.stringify({ isAdopted, bytes: memory.bytes, arena_registered, first }));
setInterval(() => {}, 1000);
