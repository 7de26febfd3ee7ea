/**
 * Defects of the FTL that the simulator has to find (see mutant.ts). Not here is what changes
 * nothing:
 * that a start believes units of an earlier filling of a band (the rules of reuse make that
 * harmless), or that a relocated copy gets a sequence of its own (it is the newest then, anyway).
 */

import type { Mutant } from './mutant.ts';

export const FTL_MUTANTS: readonly Mutant[] = [
  {
    name: 'ftl: a flush does not wait for units in flight',
    file: 'src/ftl/durability.ts',
    find: '} else if (core.buffer.oldestSealing() > this.#target) {',
    replace: '} else {',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: a flush does not seal what is open',
    file: 'src/ftl/durability.ts',
    find: '      if (rides) this.#log.sealUserUnits();\n',
    replace: '',
    found: { by: 'histories', seed: 4 },
  },
  {
    name: 'ftl: the base is not flushed',
    file: 'src/ftl/durability.ts',
    find: '      if (this.#needsFlush && volatile) this.#flushBase();\n      else ',
    replace: '      ',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: a failed flush is forgiven',
    file: 'src/ftl/durability.ts',
    find: "      this.#core.fail(io.status, 'a flush of the device below has failed');\n",
    replace: '      this.#state = IDLE;\n',
    found: { by: 'histories', seed: 146 },
  },
  {
    name: 'ftl: FUA waits for nothing where the write buffer survives',
    file: 'src/ftl/writer.ts',
    find: 'const waits = !this.#survives || (io.flags & FLAG_FUA) !== 0;',
    replace: 'const waits = !this.#survives;',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: a write waits for nothing where the write buffer does not survive',
    file: 'src/ftl/writer.ts',
    find: 'const waits = !this.#survives || (io.flags & FLAG_FUA) !== 0;',
    replace: 'const waits = (io.flags & FLAG_FUA) !== 0;',
    found: { by: 'histories', seed: 4 },
  },
  {
    name: 'ftl: a trim is not recorded',
    file: 'src/ftl/log.ts',
    find: '    core.buffer.addTrim(slot, block, blockCount, core.writeSequence);\n',
    replace: '',
    found: { by: 'histories', seed: 3 },
  },
  {
    name: 'ftl: a band is reused before what superseded it is durable',
    file: 'src/ftl/bands.ts',
    find: 'if (this.readers[band] !== 0 || superseders.needs(band)) return true;',
    replace: 'if (this.readers[band] !== 0 || superseders.needs(-1)) return true;',
    found: { by: 'histories', seed: 53 },
  },
  {
    name: 'ftl: a band is reused while it is being read',
    file: 'src/ftl/bands.ts',
    find: 'if (this.readers[band] !== 0 || superseders.needs(band)) return true;',
    replace: 'if (superseders.needs(band)) return true;',
    found: { by: 'histories', seed: 101 },
  },
  {
    name: 'ftl: a band is reused although no checkpoint has its trims',
    file: 'src/ftl/bands.ts',
    find: '    return this.trimmedAt[band]! >= checkpointed;\n',
    replace: '    return this.trimmedAt[band]! >= checkpointed * Infinity;\n',
    found: { by: 'sweeps', scenario: 'F13', why: 'histories trim what lies still too rarely' },
  },
  {
    name: 'ftl: relocation moves blocks that were overwritten',
    file: 'src/ftl/relocator.ts',
    find: '    return l2p.get(block) === place;\n',
    replace: '    return l2p.get(block) !== place - 2 ** 40;\n',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: units are sent before the head of their band is there',
    file: 'src/ftl/log.ts',
    find: 'if (isHead || bands.state[band] !== BAND_OPENING) this.#write(slot, band);',
    replace: 'if (isHead || bands.state[band] !== 200) this.#write(slot, band);',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'ftl: a unit whose write failed keeps its place in the map',
    file: 'src/ftl/log.ts',
    find: '    this.#repoint(slot, before);\n',
    replace: '',
    found: { by: 'histories', seed: 5 },
  },
  {
    name: 'ftl: a unit whose write failed passes for durable',
    file: 'src/ftl/log.ts',
    find: '    core.noteFailed(buffer.sequence[slot]!);\n',
    replace: '',
    found: {
      by: 'units',
      test: 'test/ftl/ftl.ts',
      why: 'one history in some thousands shows it',
    },
  },
  {
    name: 'ftl: a start does not check the data of units in flight',
    file: 'src/ftl/roll-forward.ts',
    find: '        if (crc !== entryCrc(u32, entry)) {',
    replace: '        if (crc !== entryCrc(u32, entry) && index < 0) {',
    found: { by: 'histories', seed: 3 },
  },
  {
    name: 'ftl: a start lets the last unit that it reads win',
    file: 'src/ftl/roll-forward.ts',
    find: '    if (chunk[at]! > sequence) return false;\n',
    replace: '',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: a start does not look into bands that were open',
    file: 'src/ftl/roll-forward.ts',
    find: '|| openBands.includes(band)) wanted.push(band);',
    replace: '|| openBands.includes(-1)) wanted.push(band);',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'ftl: a start ends without a checkpoint',
    file: 'src/ftl/ftl.ts',
    find: '    await engine.checkpointer.write(false);\n',
    replace: '',
    found: { by: 'histories', seed: 36 },
  },
  {
    name: 'ftl: a start uses the epoch of the last one',
    file: 'src/ftl/restore.ts',
    find: 'const epoch = Math.max(current.epoch, epochOf(current.checkpointStart)) + 1;',
    replace: 'const epoch = Math.max(1, current.epoch);',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'ftl: the write buffer of a killed process is not taken over',
    file: 'src/ftl/restore.ts',
    find: 'if (this.#wasClean || survived === null) return;',
    replace: 'if (this.#wasClean || survived !== null) return;',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'ftl: a checkpoint overwrites the pages that count',
    file: 'src/ftl/checkpoint.ts',
    find: 'const slot = pages[page] === 0 ? 0 : 1 - (pages[page]! & 1);',
    replace: 'const slot = pages[page] === 0 ? 0 : pages[page]! & 1;',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'ftl: a checkpoint counts before what it points to is durable',
    file: 'src/ftl/checkpoint.ts',
    find: '      await this.#durability.barrier();\n      this.#mustGoOn();\n',
    replace: '      this.#mustGoOn();\n',
    found: { by: 'histories', seed: 40 },
  },
  {
    name: 'ftl: a checkpoint counts although a unit has moved',
    file: 'src/ftl/checkpoint.ts',
    find: 'if (core.statistics.unitsFailed !== unitsFailed) throw',
    replace: 'if (core.statistics.unitsFailed < unitsFailed) throw',
    found: {
      by: 'units',
      test: 'test/sim/ftl-known.ts',
      why: 'one history in some thousands shows it',
    },
  },
  {
    name: 'ftl: a checkpoint begins later than its pages',
    file: 'src/ftl/checkpoint.ts',
    find: 'checkpointStart: start, writeSequence',
    replace: 'checkpointStart: core.nextUnitSequence, writeSequence',
    found: { by: 'histories', seed: 2 },
  },
];
