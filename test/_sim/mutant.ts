/**
 * Mutants: defects that the simulator has to find when they are put into a copy of the sources.
 * `npm run test:mutants` tries them; a test checks that each still fits the text it changes.
 */

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a member that fails a write does not fail the write',
    file: 'src/raid/level.ts',
    find: 'if (child.status !== 0 && piece.status === 0) piece.status = child.status;',
    replace: '',
  },
  {
    name: 'raid1 sends a write to all members but the last',
    file: 'src/raid/raid1.ts',
    find: '      if (members[slot]!.device === null) continue;\n      const child',
    replace:
      '      if (members[slot]!.device === null) continue;\n      if (slot === members.length - 1 && slot > 0 && piece.pending > 1) {\n        piece.pending -= 1;\n        continue;\n      }\n      const child',
  },
  {
    name: 'a flush passes over the first member',
    file: 'src/raid/raid-array.ts',
    find: 'request.touched[slot] = this.members[slot]!.device === null ? 0 : 1;',
    replace: 'request.touched[slot] = this.members[slot]!.device === null || slot === 0 ? 0 : 1;',
  },
  {
    name: 'FUA is dropped where a member lacks it',
    file: 'src/raid/raid-array.ts',
    find: 'if (fua === FUA_FLUSH) piece.request!.touched[slot] = 1;',
    replace: '',
  },
  {
    name: 'a flush that failed once is trusted again',
    file: 'src/raid/raid-array.ts',
    find: 'this.finish(piece, this.members[slot]!.flushStatus)',
    replace: 'this.finish(piece, child.status)',
  },
  {
    name: 'the parity of raid5f leaves out the last chunk',
    file: 'src/raid/raid5f.ts',
    find: 'kernels.xor(piece.scratch, sources, this.#chunkCount, blocks * blockBytes)',
    replace: 'kernels.xor(piece.scratch, sources, this.#chunkCount - 1, blocks * blockBytes)',
  },
  {
    name: 'raid5f reconstructs from one member too few',
    file: 'src/raid/raid5f.ts',
    find: 'kernels.xor(target, sources, this.#chunkCount, blocks * blockBytes)',
    replace: 'kernels.xor(target, sources, this.#chunkCount - 1, blocks * blockBytes)',
  },
  {
    name: 'the loss of a member is not recorded',
    file: 'src/raid/record-loss.ts',
    find: 'if (!needsRecord(assembly)) return assembly;',
    replace: 'if (assembly.slots.length > 0) return assembly;',
  },
  {
    name: 'the record of a loss is not flushed',
    file: 'src/raid/record-loss.ts',
    find: '    await flushDevice(device);\n',
    replace: '',
  },
  {
    name: 'a stale member is taken for a current one',
    file: 'src/raid/assemble.ts',
    find: 'if (redundant && !updateInterrupted(found, holder)) {',
    replace: 'if (redundant && found.given.length === 0) {',
  },
  {
    name: 'an interrupted update of the superblocks makes members stale',
    file: 'src/raid/assemble.ts',
    find: 'if (redundant && !updateInterrupted(found, holder)) {',
    replace: 'if (redundant) {',
  },
  {
    name: 'labels are not flushed',
    file: 'src/raid/metadata-io.ts',
    find: '  await writeArea(reactor, device, at, encodeLabel(label));\n  await flushDevice(device);',
    replace: '  await writeArea(reactor, device, at, encodeLabel(label));',
  },
  {
    name: 'a new array is complete before its superblocks are',
    file: 'src/raid/create.ts',
    find: "firstLabel(superblock, slot, 'creating', 1)",
    replace: "firstLabel(superblock, slot, 'clean', 1)",
  },
];
