/**
 * Mutants: defects that have to be found when they are put into a copy of the sources.
 * `npm run test:mutants` tries them; a test checks that each still fits the text it changes, and
 * that docs/testing.md says of each what is said here.
 *
 * Most are found by random histories. Some need an operation that histories do not contain, and are
 * found by the sweeps of a scenario. Two rules guard against what no program of ours does: them no
 * history can show to be missing, and why is said here; unit tests do.
 */

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  readonly found: Finder;
}

export type Finder =
  /** The first seed of a random history that shows it. */
  | { readonly by: 'histories'; readonly seed: number }
  /** Scenarios with this in their name show it, and nothing else can. */
  | { readonly by: 'sweeps'; readonly scenario: string; readonly why: string }
  /** The tests in this file fail, and the simulator cannot. */
  | { readonly by: 'units'; readonly test: string; readonly why: string };

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the parity of raid5f leaves out the last chunk',
    file: 'src/raid/raid5f.ts',
    find: 'kernels.xor(piece.scratch, sources, this.#chunkCount, blocks * blockBytes)',
    replace: 'kernels.xor(piece.scratch, sources, this.#chunkCount - 1, blocks * blockBytes)',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'raid5f reconstructs from one member too few',
    file: 'src/raid/raid5f.ts',
    find: 'kernels.xor(target, sources, this.#chunkCount, blocks * blockBytes)',
    replace: 'kernels.xor(target, sources, this.#chunkCount - 1, blocks * blockBytes)',
    found: { by: 'histories', seed: 1 },
  },
  {
    name: 'the loss of a member is not recorded',
    file: 'src/raid/record-loss.ts',
    find: 'if (!needsRecord(assembly)) {',
    replace: 'if (assembly.slots.length > 0) {',
    found: { by: 'histories', seed: 44 },
  },
  {
    name: 'an interrupted update of the superblocks makes members stale',
    file: 'src/raid/assemble.ts',
    find: 'if (redundant && !updateInterrupted(found, holder)) {',
    replace: 'if (redundant) {',
    found: { by: 'histories', seed: 77 },
  },
  {
    name: 'a target gets a superblock together with the members',
    file: 'src/raid/array-metadata.ts',
    find: '[members.slice(0, alone), members.slice(alone), targets]',
    replace: '[members.slice(0, alone), [...members.slice(alone), ...targets]]',
    found: {
      by: 'units',
      test: 'test/raid/array-metadata.ts',
      why: 'one history in thousands shows it',
    },
  },
  {
    name: 'labels are not flushed',
    file: 'src/raid/metadata-io.ts',
    find: '  await writeArea(reactor, device, at, encodeLabel(label));\n  await flushDevice(device);',
    replace: '  await writeArea(reactor, device, at, encodeLabel(label));',
    found: { by: 'histories', seed: 1073 },
  },
  {
    name: 'a new array is complete before its superblocks are',
    file: 'src/raid/create.ts',
    find: 'firstLabel(superblock, slot), state, ...content',
    replace: "firstLabel(superblock, slot), state: 'clean', ...content",
    found: { by: 'histories', seed: 1612 },
  },
  {
    name: 'a member that missed a write stays in service',
    file: 'src/raid/array-core.ts',
    find: "        this.eject(slot, 'failed', piece.status);",
    replace: '        continue;',
    found: { by: 'histories', seed: 50 },
  },
  {
    name: 'answers go out before a loss is on record',
    file: 'src/raid/loss-gate.ts',
    find: '      if (this.#closed) {',
    replace: '      if (this.#closed && status === -1) {',
    found: { by: 'histories', seed: 503 },
  },
  {
    name: 'superblocks of a running array are not written',
    file: 'src/raid/array-metadata.ts',
    find: '      await writeArea(this.#reactor, device, 0, bytes);\n',
    replace: '',
    found: { by: 'histories', seed: 5 },
  },
  {
    name: 'writes do not wait for their intent',
    file: 'src/raid/write-intent.ts',
    find: '    if (ready) return true;',
    replace: '    if (ready || this.regionCount > 0) return true;',
    found: { by: 'histories', seed: 38 },
  },
  {
    name: 'intent is cleared without a flush',
    file: 'src/raid/intent-io.ts',
    find: '      if (device?.geometry.volatileCache === true) this.#flush(slot, device);',
    replace: '',
    found: { by: 'histories', seed: 642 },
  },
  {
    name: 'what a member that leaves may have missed is forgotten',
    file: 'src/raid/array-core.ts',
    find: '    this.intent?.missAll();\n',
    replace: '',
    found: { by: 'histories', seed: 337 },
  },
  {
    name: 'a rebuild leaves out the last block of each write',
    file: 'src/raid/array-process-host.ts',
    find: '    io.block = target.dataOffset + block;\n    io.blockCount = blockCount;',
    replace:
      '    io.block = target.dataOffset + block;\n    io.blockCount = Math.max(1, blockCount - 1);',
    found: { by: 'histories', seed: 36 },
  },
  {
    name: 'overlapping writes are in flight together',
    file: 'src/raid/range-locks.ts',
    find: '    if (this.#meetsHeld(lock) || (this.#head',
    replace: '    if (this.#firsts.length === 0 || (this.#head',
    found: { by: 'histories', seed: 2 },
  },
  {
    name: 'a stale member is taken for current',
    file: 'src/raid/assemble.ts',
    find: '    if (redundant && !updateInterrupted(found, holder)) {',
    replace: '    if (redundant && found.members.length === 0) {',
    found: {
      by: 'units',
      test: 'test/raid/assemble.ts',
      why: 'every way in which a member falls behind ends with a record that it is lost, which is asked first; the rule is for members that others have used',
    },
  },
  {
    name: 'a crash is taken for a clean stop',
    file: 'src/raid/load-intent.ts',
    find: '    const differs = before === null ? !clean || fresh : !clean && intent;',
    replace: '    const differs = before === null ? !clean || fresh : clean && intent;',
    found: { by: 'histories', seed: 14 },
  },
  {
    name: 'a target comes into service without a flush',
    file: 'src/raid/rebuild-steps.ts',
    find: 'await flushDevice(target.device);\n    const states = intent.states(complete);\n    await writeBitmap(reactor, target.device, bitmap, metadata.superblock.uuid, states);\n',
    replace: '',
    found: { by: 'histories', seed: 2597 },
  },
  {
    name: 'a member that left before the bitmap began returns by delta',
    file: 'src/raid/returning-members.ts',
    find: '  if (own.seq < missedSince) {',
    replace: '  if (own.seq < 0) {',
    found: {
      by: 'units',
      test: 'test/raid/assemble-returning.ts',
      why: 'whoever could have left before the bitmap began is not listed any more, or everything counts as missed; the rule is for arrays that others have used',
    },
  },
  {
    name: 'a failed flush costs nobody a place',
    file: 'src/raid/array-core.ts',
    find: "    this.eject(slot, 'failed', flushStatus);\n    return OK;",
    replace: '    return OK;',
    found: { by: 'histories', seed: 74 },
  },
  {
    name: 'a check takes the first copy for right',
    file: 'src/raid/process-verify.ts',
    find: '    const votes = this.work.majority && this.#goodCount > 2;',
    replace: '    const votes = this.work.majority && this.#goodCount > 200;',
    found: { by: 'histories', seed: 411 },
  },
  {
    name: 'a check corrects parity by what lies elsewhere',
    file: 'src/raid/process-verify.ts',
    find: '    this.#sources[1] = this.buffer(this.#slots) + offset;',
    replace: '    this.#sources[1] = this.buffer(this.#slots);',
    found: { by: 'histories', seed: 6 },
  },
  {
    name: 'a checkpoint of a rebuild is written without a flush',
    file: 'src/raid/rebuild-steps.ts',
    find: '  const status = await submitStatus(target.device, OP_FLUSH, 0, 0, 0);\n  if (status !== OK) {',
    replace: '  const status: number = target.slot < 0 ? OP_FLUSH : OK;\n  if (status !== OK) {',
    found: { by: 'histories', seed: 217 },
  },
  {
    name: 'an interrupted rebuild goes on where any member thinks',
    file: 'src/raid/rebuild-target.ts',
    find: '    block: inStep ? Math.min(...blocks, slot.dataSize) : 0,',
    replace: '    block: Math.max(...blocks),',
    found: { by: 'histories', seed: 1407 },
  },
  {
    name: 'a member is given what it missed after that was cleared',
    file: 'src/raid/process-keeper.ts',
    find: '      if (began && array.absent <= 1) this.#voidDeltas();\n',
    replace: '',
    found: { by: 'histories', seed: 47 },
  },
  {
    name: 'a device loses its label and stays a member',
    file: 'src/raid/metadata-io.ts',
    find: 'for (const bytes of [SUPERBLOCK_START_BYTES, DATA_OFFSET_BYTES_MIN]) {',
    replace: 'for (const bytes of [DATA_OFFSET_BYTES_MIN]) {',
    found: { by: 'histories', seed: 8157 },
  },
  {
    name: 'a superblock that may be in a cache only is not written again',
    file: 'src/raid/record-loss.ts',
    find: '  return label?.superblockSeq !== seq;\n',
    replace: '  return label?.superblockSeq !== seq && seq < 0;\n',
    found: {
      by: 'units',
      test: 'test/raid/growth.ts',
      why: 'the flush of a superblock has to fail, and the power after the next start: one seed in thousands',
    },
  },
  {
    name: 'that an array has grown is forgotten',
    file: 'src/raid/growth.ts',
    find: '    raidSize: growth.blockCount,\n',
    replace: '',
    found: {
      by: 'sweeps',
      scenario: 'R2',
      why: 'disks grow in scenarios only',
    },
  },
  {
    name: 'an array grows with its first member',
    file: 'src/raid/growth.ts',
    find: 'const blockCount = rules.arraySize(dataSizes, spec.stripBlocks);',
    replace: 'const blockCount = Math.max(...available);',
    found: {
      by: 'sweeps',
      scenario: 'R5',
      why: 'disks grow in scenarios only',
    },
  },
  {
    name: 'erasing a member leaves its superblock',
    file: 'src/raid/wipe.ts',
    find: '  if (hasSuperblock) {',
    replace: '  if (hasSuperblock && found.superblock.value === null) {',
    found: {
      by: 'sweeps',
      scenario: 'R12',
      why: 'arrays are erased in scenarios only',
    },
  },
  {
    name: 'a creation that fails leaves what it has written',
    file: 'src/raid/create.ts',
    find: '    for (const device of all) await wipeDevice(reactor, device).catch(() => {});\n',
    replace: '',
    found: {
      by: 'sweeps',
      scenario: 'R12',
      why: 'in histories a creation may overwrite what an earlier one has left',
    },
  },
];
