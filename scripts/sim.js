/**
 * `npm run test:sim [-- OPTIONS]`: arrays on simulated disks, in virtual time, from seeds.
 *
 *   --seeds N        random histories (default 20 000, or BANDSTAND_SIM_SEEDS)
 *   --seed S         the first seed (default 1); without --seeds only that one, made short if it fails
 *   --seconds N      ends the random histories after so long (default 240, or BANDSTAND_SIM_SECONDS)
 *   --jobs N         processes (default: one per processor)
 *   --subject NAME   the stack under test
 *   --verbose        prints what happens, operation by operation
 *
 * Failures come with the command that replays them. The last line counts what passed and failed.
 */

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { playSeed, runCampaign } from '../test/_sim/campaign.ts';
import { generate } from '../test/_sim/generator.ts';
import {
  configText,
  failureText,
  historyText,
  replayCommand,
  shrunkText,
} from '../test/_sim/report.ts';
import { shrink } from '../test/_sim/shrink.ts';
import { SUBJECTS } from '../test/_sim/subjects.ts';

const batchSeeds = 250;
const failuresMax = 5;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    seconds: { type: 'string', default: process.env.BANDSTAND_SIM_SECONDS ?? '240' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    subject: { type: 'string', default: SUBJECTS.at(-1).name },
    verbose: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
});

const subject = SUBJECTS.find(({ name }) => name === values.subject);
if (subject === undefined) {
  const known = SUBJECTS.map(({ name }) => name).join(', ');
  throw new Error(`no subject ${values.subject}, only ${known}`);
}
const firstSeed = wholeNumber('seed', values.seed ?? '1');

function wholeNumber(option, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new Error(`--${option} takes a whole number, not ${text}`);
}

/** One process of several: plays the batches that it is sent. */
function work() {
  process.on('message', async ({ first, count }) => {
    const result = await runCampaign({ subject, firstSeed: first, count, failuresMax });
    const failures = result.failures.map(({ seed, outcome }) => ({
      seed,
      violation: outcome.violation,
    }));
    process.send({ ...result, failures });
  });
  process.on('disconnect', () => process.exit(0));
}

/** All seeds, dealt out to processes in batches. */
async function runSeeds(count, jobs, deadline) {
  const total = { seeds: 0, ios: 0, crashes: 0, failures: [] };
  let next = 0;
  const deal = (child) => {
    if (next >= count || total.failures.length >= failuresMax || Date.now() > deadline) {
      child.disconnect();
      return;
    }
    const size = Math.min(batchSeeds, count - next);
    child.send({ first: firstSeed + next, count: size });
    next += size;
  };
  const runOne = () =>
    new Promise((resolve, reject) => {
      const script = fileURLToPath(import.meta.url);
      const child = fork(script, ['--worker', '--subject', subject.name]);
      child.on('message', (result) => {
        total.seeds += result.seeds;
        total.ios += result.ios;
        total.crashes += result.crashes;
        total.failures.push(...result.failures);
        for (const { seed, violation } of result.failures) {
          console.log(failureText(`seed ${seed}`, violation, replayCommand(subject, seed)));
        }
        deal(child);
      });
      child.on('exit', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`a process of the simulator ended with status ${code}`));
      });
      deal(child);
    });
  await Promise.all(Array.from({ length: jobs }, runOne));
  return total;
}

/** One seed: what happens, and if it fails, the shortest history that fails too. */
async function replay(seed) {
  const history = generate(seed, subject.promises);
  const outcome = await playSeed(seed, subject, values.verbose);
  if (values.verbose) {
    console.log(configText(history.config));
    console.log(outcome.lines.join('\n'));
  }
  const { ios, operations, crashes, hash } = outcome;
  const what = `${ios} member I/Os, ${operations} operations, ${crashes} crashes`;
  console.log(`seed ${seed}: ${what}, hash ${hash.toString(16)}`);
  if (outcome.violation === null) return true;
  console.log(failureText(`seed ${seed}`, outcome.violation, replayCommand(subject, seed)));
  if (!values.verbose) console.log(historyText(history));
  console.log(shrunkText(await shrink(history, { subject })));
  return false;
}

async function campaign() {
  const began = Date.now();
  const seconds = wholeNumber('seconds', values.seconds);
  const count = wholeNumber('seeds', values.seeds ?? process.env.BANDSTAND_SIM_SEEDS ?? '20000');
  const jobs = Math.max(1, wholeNumber('jobs', values.jobs));
  const total = await runSeeds(count, jobs, began + seconds * 1000);
  const took = (Date.now() - began) / 1000;
  console.log(
    `${total.seeds} of ${count} random histories from seed ${firstSeed} on (${subject.name}): ${total.ios} member I/Os, ${total.crashes} crashes, ${(total.seeds / took).toFixed(0)} seeds/s`,
  );
  return total.failures.length === 0;
}

if (values.worker) work();
else {
  const single = values.seed !== undefined && values.seeds === undefined;
  const good = single ? await replay(firstSeed) : await campaign();
  console.log(`${good ? 1 : 0} passed, ${good ? 0 : 1} failed, 0 skipped`);
  process.exitCode = good ? 0 : 1;
}
