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
