/**
 * Defects of the NV cache that the simulator has to find (see mutant.ts).
 */

import type { Mutant } from './mutant.ts';

export const CACHE_MUTANTS: readonly Mutant[] = [
  {
    name: 'cache: a write is answered before its record is there',
    file: 'src/nv-cache/record-writer.ts',
    find: '      slot.ios.push(io);\n    }\n  }\n\n  /** The record that takes',
    replace: '      this.#host.answer(io, OK);\n    }\n  }\n\n  /** The record that takes',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a record counts as soon as it is complete',
    file: 'src/nv-cache/record-writer.ts',
    find: '    while (this.#sent.head?.state === DONE && this.#core.state === STATE_ONLINE) {\n      this.#commit(this.#sent.shift()!);\n    }\n',
    replace: `    if (slot.state === DONE && this.#core.state === STATE_ONLINE) {
      const others: RecordSlot[] = [];
      for (let one = this.#sent.shift(); one !== null; one = this.#sent.shift()) {
        if (one !== slot) others.push(one);
      }
      for (const one of others) this.#sent.push(one);
      this.#commit(slot);
    }
`,
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a trim is not told to the FTL again',
    file: 'src/nv-cache/cache-restore.ts',
    find: '      await submitOrThrow(backing, OP_TRIM, block, blockCount, 0);\n',
    replace: '      if (block < 0) await submitOrThrow(backing, OP_TRIM, block, blockCount, 0);\n',
    found: { by: 'histories', seed: 17 },
  },
  {
    name: 'cache: records leave the ring before the FTL has them',
    file: 'src/nv-cache/ring-space.ts',
    find: 'return this.#mark[index]! <= settledMark ? end : -1;',
    replace: 'return this.#mark[index]! <= settledMark + 2 ** 50 ? end : -1;',
    found: { by: 'histories', seed: 17 },
  },
  {
    name: 'cache: a start uses the epoch of the last one',
    file: 'src/nv-cache/cache-restore.ts',
    find: 'const epoch = Math.max(this.#header!.epoch, this.#records!.epoch, used) + 1;',
    replace: 'const epoch = Math.max(1, this.#header!.epoch, used * 0);',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'cache: a start does not check data',
    file: 'src/nv-cache/cache-scan.ts',
    find: 'const wrong = this.#wrongBlocks(at, header);',
    replace: 'const wrong = this.#wrongBlocks(at, header).slice(0, 0);',
    found: { by: 'histories', seed: 41 },
  },
  {
    name: 'cache: the header of a start still says that the last stop was clean',
    file: 'src/nv-cache/cache-restore.ts',
    find: '      currentAddress: null,\n',
    replace: '      currentAddress: this.#header!.currentAddress,\n',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'cache: a flush does not flush the cache device',
    file: 'src/nv-cache/cache-flusher.ts',
    find: '    cache.submit(this.#io);\n',
    replace: '    this.#io.status = OK;\n    this.complete(this.#io);\n',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'cache: FUA waits for nothing where the cache device has none',
    file: 'src/nv-cache/record-writer.ts',
    find: 'if (isFua && needsFlush)',
    replace: 'if (isFua && needsFlush && slot.sequence < 0)',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'cache: a start lets what lies further back win',
    file: 'src/nv-cache/found-records.ts',
    find: '    for (const record of order) {\n      const isOlder',
    replace: '    for (const record of order.toReversed()) {\n      const isOlder',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a trim shows when the FTL has it, not before',
    file: 'src/nv-cache/cache-reader.ts',
    find: '} else if (trims.covers(block)) {',
    replace: '} else if (trims.covers(-1)) {',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a cache is left before it is empty',
    file: 'src/nv-cache/nv-cache.ts',
    find: 'const isOver = () => engine.isDrained && drainer.idle',
    replace: 'const isOver = () => drainer.idle',
    found: { by: 'histories', seed: 32 },
  },
  {
    name: 'cache: what a crash has left on one half of a mirror is not written to both',
    file: 'src/nv-cache/cache-restore.ts',
    find: '          if (!mirror.readsSteadily(block, count)) continue;\n',
    replace: '          if (block >= 0) continue;\n',
    found: {
      by: 'units',
      test: 'test/nv-cache/mirrored.ts',
      why: 'a half has to be lost soon after a crash that has left its records on the other one only, and that is read first',
    },
  },
  {
    name: 'cache: half of a mirror that has left is not known as old',
    file: 'src/nv-cache/nv-cache.ts',
    find: '    core.headerEpoch += 1;\n',
    replace: '',
    found: { by: 'histories', seed: 9 },
  },
  {
    name: 'cache: a half that has left counts as current where that is meant',
    file: 'src/stack/find-cache.ts',
    find: '  if (epoch >= wanted.epoch) return;\n',
    replace: '  if (epoch >= 0) return;\n',
    found: { by: 'histories', seed: 9 },
  },
  {
    name: 'cache: what cannot be read behind the newest record is the end of the ring',
    file: 'src/nv-cache/ring-holes.ts',
    find: 'if (distance < used + REACH_BLOCKS) {',
    replace: 'if (distance < used) {',
    found: {
      by: 'sweeps',
      scenario: 'C22',
      why: 'in histories it takes thousands of seeds until what cannot be read is just the newest record',
    },
  },
  {
    name: 'cache: a mirror that the FTL may name is wiped where attaching it fails',
    file: 'src/ftl/superblock-io.ts',
    find: 'return [this.#current, this.#begun].some(',
    replace: 'return [this.#current].some(',
    found: {
      by: 'units',
      test: 'test/ftl/settling.ts',
      why: 'the superblock has to fail just when it names a new cache: one seed in thousands',
    },
  },
];
