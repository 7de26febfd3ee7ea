/** A write buffer that has to be there, because no power cut can have taken it, and is not. */

import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import type { SurvivingMemory } from '../../src/block/surviving-memory.ts';
import type { FtlOptions } from '../../src/ftl/ftl.ts';
import { readSuperblock } from '../../src/ftl/superblock-io.ts';
import { BUFFER_BYTES, FtlBench } from '../_helpers/ftl-bench.ts';

const BOOT = 'b0070000-0000-4000-8000-000000000001';
const NEXT_BOOT = 'b0070000-0000-4000-8000-000000000002';

/** Killed in this boot, with a flushed and an unflushed write. */
async function killed(): Promise<{ bench: FtlBench; memory: SurvivingMemory }> {
  const bench = await FtlBench.make();
  const memory = bench.memory();
  await bench.open({ buffer: memory, bootId: BOOT });
  await bench.write(0, 1, 0x11);
  await bench.flush();
  await bench.write(0, 1, 0x22);
  await bench.kill();
  return { bench, memory };
}

async function bootOnDisk({ disk, reactor }: FtlBench): Promise<string | null> {
  const work = async (): Promise<string | null> => {
    await disk.open(reactor);
    const below = { base: disk, redundancy: null, readOnly: true };
    const { superblock } = await readSuperblock(reactor, below);
    await disk.close();
    return superblock.bufferBoot;
  };
  return reactor.drive(work());
}

test('a start without the buffer that this boot must have is refused', async (t) => {
  const { bench } = await killed();
  for (const options of [{ buffer: bench.memory() }, { buffer: null }, { readOnly: true }]) {
    const error = await bench.refusal({ ...options, bootId: BOOT });
    t.is(error.code, 'BANDSTAND_FTL_BUFFER_LOST');
    t.is(
      error.message,
      'cannot open the log-structured device on ram: the write buffer that its killed server has left is gone, so writes since the last flush may be lost',
    );
    t.is(
      error.hint,
      'if that server had another --run-dir, name that one; to go on without them: bandstand export ram --discard-buffer',
    );
    t.false(bench.disk.isOpen, 'nothing is left open');
  }
  const rebuild = await bench.refusal({ rebuildMap: true, bootId: BOOT });
  t.regex(rebuild.hint!, /bandstand check ram --rebuild-map --discard-buffer$/);
});

test('a refusal takes nothing away: the buffer may turn up again', async (t) => {
  const { bench, memory } = await killed();
  await bench.refusal({ buffer: bench.memory(), bootId: BOOT });
  await bench.refusal({ buffer: null, bootId: BOOT });
  const ftl = await bench.open({ buffer: bench.memory(true, memory.at), bootId: BOOT });
  t.true(ftl.restoreReport!.adoption.units > 0);
  t.false(ftl.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x22);
  await bench.close();
});

test('memory that is found and is not the buffer of this life does not stand for it', async (t) => {
  const { bench, memory } = await killed();
  const { u8 } = bench.reactor.arena;
  const stale = u8.slice(memory.at, memory.at + BUFFER_BYTES);
  u8.fill(0, memory.at, memory.at + BUFFER_BYTES);
  const found = { buffer: bench.memory(true, memory.at), bootId: BOOT };
  t.is((await bench.refusal(found)).code, 'BANDSTAND_FTL_BUFFER_LOST', 'never made a buffer');
  u8.set(stale, memory.at);
  await bench.open(found);
  await bench.write(0, 1, 0x33);
  await bench.kill();
  u8.set(stale, memory.at);
  t.is((await bench.refusal(found)).code, 'BANDSTAND_FTL_BUFFER_LOST', 'of an earlier life');
});

test('after a power cut, or where the boot is not known, no buffer is missed', async (t) => {
  for (const bootId of [NEXT_BOOT, null]) {
    const { bench } = await killed();
    const ftl = await bench.open({ buffer: bench.memory(), bootId });
    t.false(ftl.restoreReport!.bufferLost);
    t.is(await bench.read(0), 0x11);
    await bench.close();
  }
});

test('what is given up on purpose is told, and is given up once', async (t) => {
  const { bench } = await killed();
  const reader = await bench.open({ readOnly: true, bootId: BOOT, discardBuffer: true });
  t.true(reader.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x11);
  await bench.close();
  t.is(await bootOnDisk(bench), BOOT, 'a read-only start gives up nothing for good');
  const memory = bench.memory();
  const ftl = await bench.open({ buffer: memory, bootId: BOOT, discardBuffer: true });
  t.true(ftl.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x11);
  await bench.write(0, 1, 0x44);
  await bench.kill();
  await bench.refusal({ buffer: bench.memory(), bootId: BOOT });
  const again = await bench.open({ buffer: bench.memory(true, memory.at), bootId: BOOT });
  t.false(again.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x44);
  await bench.close();
});

test('a buffer that can be taken over is, whatever may be given up', async (t) => {
  const { bench, memory } = await killed();
  const buffer = bench.memory(true, memory.at);
  const ftl = await bench.open({ buffer, bootId: BOOT, discardBuffer: true });
  t.false(ftl.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x22);
  await bench.close();
});

test('a buffer that cannot be taken over is given up on purpose only', async (t) => {
  const { bench, memory } = await killed();
  bench.reactor.arena.u8[memory.at + 40]! ^= 1;
  const options: FtlOptions = { buffer: bench.memory(true, memory.at), bootId: BOOT };
  t.is((await bench.refusal(options)).code, 'BANDSTAND_FTL_BUFFER');
  const ftl = await bench.open({ ...options, discardBuffer: true });
  t.true(ftl.restoreReport!.bufferLost);
  t.is(await bench.read(0), 0x11);
  await bench.write(0, 1, 0x55);
  await bench.kill();
  await bench.open(options);
  t.is(await bench.read(0), 0x55, 'it is a buffer again');
  await bench.close();
});

test('a clean stop, and a life without such a buffer, leave nothing to miss', async (t) => {
  const bench = await FtlBench.make();
  await bench.open({ buffer: bench.memory(), bootId: BOOT });
  t.true(bench.ftl.namesBuffer);
  await bench.close();
  t.is(await bootOnDisk(bench), null);
  await bench.open({ buffer: null, bootId: BOOT });
  t.false(bench.ftl.namesBuffer);
  await bench.write(0, 1, 0x11);
  await bench.kill();
  const ftl = await bench.open({ buffer: null, bootId: BOOT });
  t.false(ftl.restoreReport!.clean);
  t.is(await bench.read(0), 0x11);
  await bench.close();
});

test('a start that fails half-way leaves a buffer that counts', async (t) => {
  const { bench, memory } = await killed();
  const buffer = bench.memory(true, memory.at);
  // After the first write of the start, after the second, and so on to the last.
  for (let most = 0; ; most += 1) {
    let writes = 0;
    bench.disk.fault = ({ op }) => {
      if (op === OP_WRITE) writes += 1;
      return writes > most ? EIO : OK;
    };
    try {
      await bench.open({ buffer, bootId: BOOT });
      break;
    } catch (error) {
      t.true(error instanceof BandstandError && error.code !== 'BANDSTAND_FTL_BUFFER_LOST');
      t.true(most < 100);
    }
  }
  bench.disk.fault = () => OK;
  t.is(await bench.read(0), 0x22);
  await bench.close();
});
