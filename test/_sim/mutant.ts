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
    find: 'firstLabel(superblock, slot), state, ftl',
    replace: "firstLabel(superblock, slot), state: 'clean', ftl",
  },
  {
    name: 'a member that missed a write stays in service',
    file: 'src/raid/array-core.ts',
    find: "        this.eject(slot, 'failed', piece.status);",
    replace: '        continue;',
  },
  {
    name: 'answers go out before a loss is on record',
    file: 'src/raid/loss-gate.ts',
    find: '      if (this.#closed) {',
    replace: '      if (this.#closed && status === -1) {',
  },
  {
    name: 'superblocks of a running array are not written',
    file: 'src/raid/array-metadata.ts',
    find: '      await writeArea(this.#reactor, device, 0, bytes);\n',
    replace: '',
  },
  {
    name: 'writes do not wait for their intent',
    file: 'src/raid/write-intent.ts',
    find: '    if (ready) return true;',
    replace: '    if (ready || this.regionCount > 0) return true;',
  },
  {
    name: 'intent is cleared without a flush',
    file: 'src/raid/intent-io.ts',
    find: '      if (device?.geometry.volatileCache === true) this.#flush(slot, device);',
    replace: '',
  },
  {
    name: 'what a member that leaves may have missed is forgotten',
    file: 'src/raid/array-core.ts',
    find: '    this.intent?.missAll();\n',
    replace: '',
  },
  {
    name: 'a rebuild leaves out the last block of each write',
    file: 'src/raid/array-process-host.ts',
    find: '    io.block = target.dataOffset + block;\n    io.blockCount = blockCount;',
    replace:
      '    io.block = target.dataOffset + block;\n    io.blockCount = Math.max(1, blockCount - 1);',
  },
  {
    name: 'overlapping writes are in flight together',
    file: 'src/raid/range-locks.ts',
    find: '    if (this.#meetsHeld(lock) || (this.#head',
    replace: '    if (this.#firsts.length === 0 || (this.#head',
  },
  {
    name: 'a stale member is taken for current',
    file: 'src/raid/assemble.ts',
    find: '    if (redundant && !updateInterrupted(found, holder)) {',
    replace: '    if (redundant && found.members.length === 0) {',
  },
  {
    name: 'a crash is taken for a clean stop',
    file: 'src/raid/load-intent.ts',
    find: '    const differs = before === null ? !clean || fresh : !clean && intent;',
    replace: '    const differs = before === null ? !clean || fresh : clean && intent;',
  },
  {
    name: 'a target comes into service without a flush',
    file: 'src/raid/rebuild-steps.ts',
    find: '    await flushDevice(target.device);\n',
    replace: '',
  },
  {
    name: 'a member that left before the bitmap began returns by delta',
    file: 'src/raid/returning-members.ts',
    find: '  if (own.seq < missedSince) {',
    replace: '  if (own.seq < 0) {',
  },
  {
    name: 'a failed flush costs nobody a place',
    file: 'src/raid/array-core.ts',
    find: "    this.eject(slot, 'failed', flushStatus);\n    return OK;",
    replace: '    return OK;',
  },
  {
    name: 'a check takes the first copy for right',
    file: 'src/raid/process-verify.ts',
    find: '    const votes = this.work.majority && this.#goodCount > 2;',
    replace: '    const votes = this.work.majority && this.#goodCount > 200;',
  },
  {
    name: 'a check corrects parity by what lies elsewhere',
    file: 'src/raid/process-verify.ts',
    find: '    this.#sources[1] = this.buffer(this.#slots) + offset;',
    replace: '    this.#sources[1] = this.buffer(this.#slots);',
  },
  {
    name: 'a checkpoint of a rebuild is written without a flush',
    file: 'src/raid/rebuild-steps.ts',
    find: '  const status = await submitStatus(target.device, OP_FLUSH, 0, 0, 0);\n  if (status !== OK) {',
    replace: '  const status: number = target.slot < 0 ? OP_FLUSH : OK;\n  if (status !== OK) {',
  },
  {
    name: 'an interrupted rebuild goes on where any member thinks',
    file: 'src/raid/rebuild-target.ts',
    find: '    block: inStep ? Math.min(...blocks, slot.dataSize) : 0,',
    replace: '    block: Math.max(...blocks),',
  },
];
