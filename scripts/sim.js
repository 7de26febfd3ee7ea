/**
 * `npm run test:sim [-- OPTIONS]`: arrays on simulated disks, in virtual time, from seeds.
 * `npm run test:sim:ftl [-- OPTIONS]`: the same for an FTL over an array; `test:sim:cache`: for one
 * with an NV cache in front.
 *
 *   --seeds N        random histories; default 20 000, or BANDSTAND_SIM_SEEDS
 *   --seed S         the first seed, default 1; without --seeds only that one is played, and made
 *                    short if it fails
 *   --seconds N      no new work after so long; default 240, or BANDSTAND_SIM_SECONDS; what has not
 *                    ended 45 s later fails: it waits for ever, or is too large a piece
 *   --steps N        only the first N steps of each history, and its end
 *   --scenario TEXT  only the scenarios whose name contains this; with --kind and --at one place
 *   --places N       member I/Os of each scenario at which something happens; default 8
 *   --kind KIND      only one kind of sweep: calm, fail, power, kill, tear or subsets
 *   --at K           only the member I/O number K
 *   --jobs N         processes; default: one per processor
 *   --subject NAME   the stack under test: plain, managed (the default), ftl or
 *                    cache
 *   --first-failure  stops at the first failure
 *   --verbose        prints what happens, operation by operation
 *
 * Failures come with the command that replays them. The last line counts what passed and failed:
 * each sweep of a scenario is one, all random histories together are one.
 */

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { historyOf } from '../test/_sim/campaign.ts';
import { runJob } from '../test/_sim/job.ts';
import { play } from '../test/_sim/player.ts';
import {
  configText,
  failureText,
  historyText,
  replayCommand,
  replayPlaceCommand,
  shrunkText,
} from '../test/_sim/report.ts';
import { shrink } from '../test/_sim/shrink.ts';
import { MANAGED, scenariosOf, subjectByName } from '../test/_sim/subjects.ts';
import { replayPlace, SWEEP_KINDS } from '../test/_sim/sweep.ts';

const batchSeeds = 20;
const graceSeconds = 45;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    steps: { type: 'string' },
    seconds: { type: 'string', default: process.env.BANDSTAND_SIM_SECONDS ?? '240' },
    scenario: { type: 'string' },
    places: { type: 'string', default: '8' },
    kind: { type: 'string' },
    at: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    subject: { type: 'string', default: MANAGED.name },
    'first-failure': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
});

const failuresMax = values['first-failure'] ? 1 : 5;
const subject = subjectByName(values.subject);
const stepsMax = values.steps === undefined ? null : wholeNumber('steps', values.steps);

function wholeNumber(option, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new Error(`--${option} takes a whole number, not ${text}`);
}

/** One process of several: does the jobs that it is sent. */
function work() {
  process.on('message', async (job) => process.send(await runJob(job)));
  process.on('disconnect', () => process.exit(0));
}

function jobText({ kind, first, count, scenario, what }) {
  return kind === 'seeds' ? `seeds ${first} to ${first + count - 1}` : `${scenario}: ${what}`;
}

/** How a job is done again by hand. */
function jobCommand({ kind, subject, first, count, scenario, what }) {
  const which =
    kind === 'seeds'
      ? `--seed ${first} --seeds ${count}${stepsMax === null ? '' : ` --steps ${stepsMax}`}`
      : `--scenario '${scenario}' --kind ${what}`;
  return `npm run test:sim -- --subject ${subject} ${which} --jobs 1`;
}

/** Sends jobs to a process until there are none. A job that is not done at `lastCall` fails. */
function employ(nextJob, jobDone, lastCall) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--worker']);
    let job = null;
    let overdue = false;
    const timer = setTimeout(() => {
      if (job === null) return;
      overdue = true;
      child.kill('SIGKILL');
    }, lastCall - Date.now());
    const give = () => {
      job = nextJob();
      if (job === null) child.disconnect();
      else child.send(job);
    };
    child.on('message', (result) => {
      jobDone(job, result);
      give();
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      if (overdue) {
        const violation = `has not ended ${graceSeconds} s after the time was up`;
        const failure = { title: jobText(job), violation, replay: jobCommand(job) };
        jobDone(job, { plays: 0, crashes: 0, sampled: 0, failures: [failure] });
        resolve();
      } else if (code === 0) resolve();
      else reject(new Error(`a process of the simulator ended with status ${code}`));
    });
    give();
  });
}

function selectSweeps() {
  const placesMax = wholeNumber('places', values.places);
  const text = values.scenario ?? '';
  const scenarios = scenariosOf(subject).filter(({ name }) => name.includes(text));
  if (scenarios.length === 0) throw new Error(`no scenario has '${text}' in its name`);
  const kinds = values.kind === undefined ? SWEEP_KINDS : [values.kind];
  const unknown = kinds.find((kind) => !SWEEP_KINDS.includes(kind));
  if (unknown !== undefined) throw new Error(`--kind takes ${SWEEP_KINDS.join(', ')}`);
  return scenarios.flatMap(({ name }) =>
    kinds.map((what) => ({
      kind: 'sweep',
      subject: subject.name,
      scenario: name,
      what,
      placesMax,
    })),
  );
}

function seedBatches() {
  if (values.scenario !== undefined) return [];
  const count = wholeNumber('seeds', values.seeds ?? process.env.BANDSTAND_SIM_SEEDS ?? '20000');
  const first = wholeNumber('seed', values.seed ?? '1');
  return Array.from({ length: Math.ceil(count / batchSeeds) }, (_, index) => ({
    kind: 'seeds',
    subject: subject.name,
    first: first + index * batchSeeds,
    count: Math.min(batchSeeds, count - index * batchSeeds),
    stepsMax,
  }));
}

async function runJobs(jobs, processes, deadline) {
  const tally = {
    passed: 0,
    failed: 0,
    skipped: 0,
    plays: 0,
    seeds: 0,
    seedsFailed: 0,
    crashes: 0,
    sampled: 0,
  };
  const queue = [...jobs];
  const nextJob = () => {
    const stops = Date.now() > deadline || tally.failed + tally.seedsFailed >= failuresMax;
    return stops ? null : (queue.shift() ?? null);
  };
  const jobDone = (job, result) => {
    const failed = result.failures.length > 0;
    tally.plays += result.plays;
    tally.crashes += result.crashes;
    tally.sampled += result.sampled;
    if (job.kind === 'seeds') {
      tally.seeds += result.plays;
      tally.seedsFailed += failed ? 1 : 0;
    } else if (failed) tally.failed += 1;
    else tally.passed += 1;
    for (const { title, violation, replay } of result.failures) {
      console.log(failureText(title, violation, replay));
    }
  };
  const lastCall = deadline + graceSeconds * 1000;
  await Promise.all(Array.from({ length: processes }, () => employ(nextJob, jobDone, lastCall)));
  tally.skipped = queue.filter(({ kind }) => kind === 'sweep').length;
  return tally;
}

async function campaign() {
  const began = Date.now();
  const seconds = wholeNumber('seconds', values.seconds);
  const processes = Math.max(1, wholeNumber('jobs', values.jobs));
  const sweeps = values.seeds !== undefined && values.scenario === undefined ? [] : selectSweeps();
  const batches = seedBatches();
  const tally = await runJobs([...sweeps, ...batches], processes, began + seconds * 1000);
  const took = (Date.now() - began) / 1000;
  const wanted = batches.reduce((sum, { count }) => sum + count, 0);
  const rate = (tally.plays / took).toFixed(0);
  console.log(
    `${subject.name}: ${sweeps.length} sweeps, ${tally.sampled} of their power cuts with some outcomes only (drawn); ${tally.seeds} of ${wanted} random histories with ${tally.crashes} crashes; ${tally.plays} histories in ${took.toFixed(0)} s, ${rate}/s`,
  );
  if (wanted > 0) tally[tally.seedsFailed > 0 ? 'failed' : 'passed'] += 1;
  return tally;
}

/** One seed: what happens, and if it fails, the shortest history that fails too. */
async function replaySeed(seed) {
  const history = historyOf(seed, subject, stepsMax ?? undefined);
  const outcome = await play(history, { subject, verbose: values.verbose });
  if (values.verbose) console.log(`${configText(history.config)}\n${outcome.lines.join('\n')}`);
  const { ios, operations, crashes, hash } = outcome;
  const what = `${ios} member I/Os, ${operations} operations, ${crashes} crashes`;
  console.log(`seed ${seed}: ${what}, hash ${hash.toString(16)}`);
  if (outcome.violation === null) return { passed: 1, failed: 0, skipped: 0 };
  console.log(
    failureText(`seed ${seed}`, outcome.violation, replayCommand(subject, seed, stepsMax)),
  );
  if (!values.verbose) console.log(historyText(history));
  console.log(shrunkText(await shrink(history, { subject })));
  return { passed: 0, failed: 1, skipped: 0 };
}

async function replayScenario(kind, at) {
  const [{ scenario: name }] = selectSweeps();
  const scenario = scenariosOf(subject).find((candidate) => candidate.name === name);
  const { violation, lines } = await replayPlace(scenario, kind, at, subject);
  console.log(historyText(scenario.history));
  if (values.verbose) console.log(lines.join('\n'));
  if (violation === null) return { passed: 1, failed: 0, skipped: 0 };
  const title = `${name}: ${kind} at member I/O ${at}`;
  console.log(failureText(title, violation, replayPlaceCommand(subject, name, kind, at)));
  return { passed: 0, failed: 1, skipped: 0 };
}

function run() {
  if (values.at !== undefined) {
    return replayScenario(values.kind ?? 'calm', wholeNumber('at', values.at));
  }
  if (values.seed !== undefined && values.seeds === undefined) {
    return replaySeed(wholeNumber('seed', values.seed));
  }
  return campaign();
}

if (values.worker) work();
else {
  const { passed, failed, skipped } = await run();
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}
