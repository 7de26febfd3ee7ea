/**
 * `bandstand metrics [NAME]`: numbers for Prometheus.                               (control plane)
 *
 * For its node exporter, which reads files that a timer writes, or for anything that scrapes the
 * output of a command. Stopped stacks are there, too: that one is down is a number.
 */

import type { Command } from '../command.ts';
import { readStatus } from '../known-stacks.ts';
import { metricsText, samplesOf } from '../metrics-text.ts';
import { allStatuses } from './list.ts';

export const metrics: Command = {
  name: 'metrics',
  summary: 'Prints the numbers of one stack or of all in the text format of Prometheus.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [],
  examples: [
    ['metrics', 'the numbers of all stacks'],
    ['metrics tank | grep health', 'those about health'],
  ],
  async run(context, args) {
    const name = args.optionalPositional('NAME');
    const { directories, timeoutMs } = context;
    const stacks =
      name === null
        ? await allStatuses(context)
        : [await readStatus(directories, name, timeoutMs ?? undefined)];
    const samples = samplesOf(stacks);
    return {
      schema: 'bandstand.metrics/1',
      data: { samples },
      text: () => metricsText(samples),
      plain: () =>
        samples.map(({ name: what, labels, value }) => [what, JSON.stringify(labels), value]),
    };
  },
};
