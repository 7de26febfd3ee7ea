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
    name: 'cache: space is used again before the tail is durable',
    file: 'src/nv-cache/nv-engine.ts',
    find: '    this.#graceTail = ring.durableTail;\n',
    replace: '    this.#graceTail = ring.tail;\n',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: space is used again while it is being read',
    file: 'src/nv-cache/nv-engine.ts',
    find: '    this.#graceTail = ring.durableTail;\n    grace.begin();\n    if (grace.ended()) ring.limit',
    replace:
      '    this.#graceTail = ring.durableTail;\n    grace.begin();\n    if (grace.ended() || true) ring.limit',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: records do not name the tail',
    file: 'src/nv-cache/record-writer.ts',
    find: 'header.tailSequence = ring.tailSequence;',
    replace: 'header.tailSequence = 0;',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a trim is not told to the FTL again',
    file: 'src/nv-cache/cache-restore.ts',
    find: '      await submitOrThrow(backing, OP_TRIM, block, blockCount, 0);\n',
    replace: '      if (block < 0) await submitOrThrow(backing, OP_TRIM, block, blockCount, 0);\n',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: records leave the ring before the FTL has them',
    file: 'src/nv-cache/ring-space.ts',
    find: 'return this.#mark[index]! <= settledMark ? end : -1;',
    replace: 'return this.#mark[index]! <= settledMark + 2 ** 50 ? end : -1;',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a start uses the epoch of the last one',
    file: 'src/nv-cache/cache-restore.ts',
    find: 'const epoch = Math.max(last, this.#records!.epoch) + 1;',
    replace: 'const epoch = Math.max(1, last);',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a trim goes to the FTL while older blocks are on their way',
    file: 'src/nv-cache/nv-engine.ts',
    find: 'if (trims.active > 0 && !this.drainer.writes) trims.send();',
    replace: 'if (trims.active > 0) trims.send();',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: blocks are drained while an older trim is on its way',
    file: 'src/nv-cache/nv-engine.ts',
    find: 'if (trims.active === 0) drainer.pump();',
    replace: 'drainer.pump();',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a start does not check data',
    file: 'src/nv-cache/cache-scan.ts',
    find: 'const wrong = this.#wrongBlocks(at, header);',
    replace: 'const wrong = this.#wrongBlocks(at, header).slice(0, 0);',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: the header of a start still says that the last stop was clean',
    file: 'src/nv-cache/cache-restore.ts',
    find: '      currentAddress: null,\n',
    replace: '      currentAddress: this.#header!.currentAddress,\n',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: what is not flushed is drained',
    file: 'src/nv-cache/drainer.ts',
    find: 'if (this.#state !== WAITS || this.waitsForFlush) return;',
    replace: 'if (this.#state !== WAITS) return;',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: records leave the ring before what superseded them is flushed',
    file: 'src/nv-cache/drainer.ts',
    find: '    ring.supersededBy(this.#segment, ring.committedSequence);\n',
    replace: '',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a flush does not flush the cache device',
    file: 'src/nv-cache/cache-flusher.ts',
    find: '    cache.submit(this.#io);\n',
    replace: '    this.#io.status = OK;\n    this.complete(this.#io);\n',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: FUA waits for nothing where the cache device has none',
    file: 'src/nv-cache/record-writer.ts',
    find: 'if (isFua && this.#volatile && !this.#nativeFua)',
    replace: 'if (isFua && this.#volatile && !this.#nativeFua && slot.index < 0)',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a clean stop does not flush',
    file: 'src/nv-cache/nv-cache.ts',
    find: '    if (this.cache.geometry.volatileCache) await flushDevice(this.cache);\n',
    replace: '',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a trim shares a record with older data of its blocks',
    file: 'src/nv-cache/record-writer.ts',
    find: '|| this.#holdsAny(slot, io.block, io.blockCount)) {',
    replace: '|| this.#holdsAny(slot, io.block, -1)) {',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'cache: a start lets what lies further back win',
    file: 'src/nv-cache/found-records.ts',
    find: '    for (const record of order) {\n      const isOlder',
    replace: '    for (const record of order.toReversed()) {\n      const isOlder',
    found: { by: 'histories', seed: 1 },
  },
];
