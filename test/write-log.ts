/**
 * What the guest tests make of a disk whose power has failed (scripts/vm/write-log.js).
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { ROOT } from './_helpers/repository.ts';

interface Cut {
  readonly log: string;
  readonly base: string;
  readonly file: string;
  readonly blockBytes: number;
  readonly seed: number;
}

const {
  loseUnflushed,
}: {
  loseUnflushed(cut: Cut): { readonly writes: number; readonly lost: number } | null;
} = await import(pathToFileURL(path.join(ROOT, 'scripts/vm/write-log.js')).href);

const SECTOR = 512;
const SECTORS = 64;
const FLUSH = 1n;
const FUA = 2n;
const DISCARD = 4n;

/** One operation as the log has it; a write of `value` in each byte. */
interface Entry {
  readonly flags?: bigint;
  readonly sector?: number;
  readonly sectors?: number;
  readonly value?: number;
}

function logOf(entries: readonly Entry[], count = entries.length): Buffer {
  const head = Buffer.alloc(SECTOR);
  head.writeBigUInt64LE(0x6a736677736872n, 0);
  head.writeBigUInt64LE(1n, 8);
  head.writeBigUInt64LE(BigInt(count), 16);
  head.writeUInt32LE(SECTOR, 24);
  const parts = entries.flatMap(({ flags = 0n, sector = 0, sectors = 0, value }) => {
    const entry = Buffer.alloc(SECTOR);
    entry.writeBigUInt64LE(BigInt(sector), 0);
    entry.writeBigUInt64LE(BigInt(sectors), 8);
    entry.writeBigUInt64LE(flags, 16);
    return value === undefined ? [entry] : [entry, Buffer.alloc(sectors * SECTOR, value)];
  });
  return Buffer.concat([head, ...parts]);
}

function cut(log: Buffer, seed: number, blockBytes = SECTOR) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-write-log-'));
  try {
    const at = (name: string): string => path.join(folder, name);
    writeFileSync(at('log'), log);
    writeFileSync(at('base'), Buffer.alloc(SECTORS * SECTOR, 0xb0));
    writeFileSync(at('file'), Buffer.alloc(SECTORS * SECTOR, 0xf1));
    const [logFile, base, file] = [at('log'), at('base'), at('file')];
    const result = loseUnflushed({ log: logFile, base, file, blockBytes, seed });
    const disk = readFileSync(file);
    const sectors = Array.from({ length: SECTORS }, (_, sector) => disk[sector * SECTOR]!);
    return { result, sectors };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const write = (sector: number, value: number, sectors = 1): Entry => ({ sector, sectors, value });

test('what a flush covers is there, whatever the seed, and so is a write with FUA', (t) => {
  const log = logOf([
    write(1, 11),
    write(2, 12, 3),
    { flags: DISCARD, sector: 3, sectors: 1 },
    { flags: FLUSH },
    { ...write(9, 19), flags: FUA },
  ]);
  for (let seed = 0; seed < 20; seed += 1) {
    const { result, sectors } = cut(log, seed);
    t.deepEqual(result, { writes: 0, lost: 0 });
    t.deepEqual(sectors.slice(0, 10), [0xb0, 11, 12, 0, 12, 0xb0, 0xb0, 0xb0, 0xb0, 19]);
  }
});

test('what no flush covers is kept, lost or torn between blocks, as the seed says', (t) => {
  const log = logOf([write(0, 1), { flags: FLUSH }, write(0, 2), write(8, 3, 16)]);
  const first = new Set<number>();
  const second = new Set<string>();
  for (let seed = 0; seed < 60; seed += 1) {
    const { sectors } = cut(log, seed, 4 * SECTOR);
    first.add(sectors[0]!);
    second.add(sectors.slice(8, 24).join());
    t.deepEqual(cut(log, seed, 4 * SECTOR).sectors, sectors);
  }
  t.deepEqual([...first].sort(), [1, 2]);
  const torn = (blocks: number): string =>
    [...Array(blocks * 4).fill(3), ...Array(16 - blocks * 4).fill(0xb0)].join();
  t.deepEqual([...second].sort(), [0, 1, 2, 3, 4].map(torn).sort());
});

test('a log with a gap leaves the disk as it is', (t) => {
  const { result, sectors } = cut(logOf([write(0, 1), {}, write(1, 2)]), 1);
  t.is(result, null);
  t.true(sectors.every((value) => value === 0xf1));
});

test('a disk that the guest never touched is as it was', (t) => {
  const { result, sectors } = cut(Buffer.alloc(0), 1);
  t.deepEqual(result, { writes: 0, lost: 0 });
  t.true(sectors.every((value) => value === 0xb0));
});
