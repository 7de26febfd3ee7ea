import test from 'ava';
import { type Step, StepRun } from '../../src/block/steps.ts';

function step(name: string, fails = false, undoFails = false): Step<string[]> {
  return {
    name,
    run: async (log) => {
      log.push(`run ${name}`);
      if (fails) throw new Error(`${name} failed`);
    },
    undo: async (log) => {
      log.push(`undo ${name}`);
      if (undoFails) throw new Error(`undo of ${name} failed`);
    },
  };
}

test('steps run in order and are undone in reverse', async (t) => {
  const log: string[] = [];
  const run = new StepRun(log);
  await run.run([step('a'), step('b')]);
  await run.undo();
  t.deepEqual(log, ['run a', 'run b', 'undo b', 'undo a']);
});

test('a step that fails undoes those before it, not itself', async (t) => {
  const log: string[] = [];
  const run = new StepRun(log);
  await t.throwsAsync(run.run([step('a'), step('b'), step('c', true), step('d')]), {
    message: 'c failed',
  });
  t.deepEqual(log, ['run a', 'run b', 'run c', 'undo b', 'undo a']);
  await run.undo();
  t.is(log.length, 5);
});

test('an undo that fails does not keep the others from theirs, and is reported', async (t) => {
  const log: string[] = [];
  const run = new StepRun(log);
  await run.run([step('a'), step('b', false, true), step('c')]);
  await t.throwsAsync(run.undo(), { message: 'undo of b failed' });
  t.deepEqual(log.slice(3), ['undo c', 'undo b', 'undo a']);
});

test('an observer is told about each step and its outcome', async (t) => {
  const told: string[] = [];
  const run = new StepRun<string[]>([]);
  await t.throwsAsync(
    run.run([step('a'), step('b', true)], {
      stepStarted: (name, index, count) => told.push(`${name} ${index + 1}/${count}`),
      stepEnded: (name, error) => told.push(`${name}: ${error instanceof Error ? 'failed' : 'ok'}`),
    }),
  );
  t.deepEqual(told, ['a 1/2', 'a: ok', 'b 2/2', 'b: failed']);
});
