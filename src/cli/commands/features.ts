/**
 * `bandstand features`: what this machine offers.                                   (control plane)
 */

import { tmpdir } from 'node:os';
import { BandstandError } from '../../block/errors.ts';
import { UblkControl } from '../../exporter/ublk/control.ts';
import { loadAddon } from '../../native/load.ts';
import { type MachineFeatures, machineFeatures } from '../../stack/machine-features.ts';
import type { Command } from '../command.ts';
import { keyLines } from '../table.ts';
import { version } from '../version.ts';

interface UblkSection {
  readonly available: boolean;
  readonly features: readonly string[];
  /** Why it is not available. */
  readonly reason: string | null;
}

export const features: Command = {
  name: 'features',
  summary: 'Shows what this machine offers: kernel, io_uring, ublk, CPU.',
  positionals: [],
  options: [
    { name: 'directory', kind: 'text', value: 'DIR', summary: 'try O_DIRECT in this directory' },
  ],
  examples: [
    ['features', 'shows what works here, and what does not'],
    ['features --json | jq .data.ublk.available', 'prints true where ublk can be used'],
  ],
  async run(context, args) {
    const machine = await machineFeatures(args.text('directory') ?? tmpdir());
    const ublk = await ublkFeatures();
    const data = { version: version(), ...machine, ublk };
    context.detail('ublk is asked for its features; nothing is created');
    return {
      schema: 'bandstand.features/1',
      data,
      text: () => featuresText(machine, ublk),
      plain: () => [
        ['kernel', machine.kernel],
        ['io_uring', machine.io_uring.available ? 'yes' : 'no'],
        ['ublk', ublk.available ? 'yes' : 'no'],
        ['kernels', machine.kernels],
        ['direct_io', machine.direct_io.available ? 'yes' : 'no'],
      ],
    };
  },
};

async function ublkFeatures(): Promise<UblkSection> {
  try {
    const control = await UblkControl.open({ native: loadAddon() });
    try {
      return { available: true, features: control.features.names, reason: null };
    } finally {
      control.close();
    }
  } catch (error) {
    const reason =
      error instanceof BandstandError || error instanceof Error ? error.message : String(error);
    return { available: false, features: [], reason };
  }
}

function featuresText(machine: MachineFeatures, ublk: UblkSection): string {
  const { io_uring: ring, direct_io: direct } = machine;
  const extras = [
    ring.fixed_buffers ? 'fixed buffers' : null,
    ring.fixed_files ? 'fixed files' : null,
    ring.huge_pages ? 'huge pages' : null,
  ].filter((word) => word !== null);
  return keyLines([
    ['bandstand', `${version()} on Node ${machine.node}, Linux ${machine.kernel}`],
    ['processors', `${machine.cpus} × ${machine.cpu_model ?? 'unknown'}`],
    [
      'io_uring',
      ring.available
        ? `yes (${[...ring.setup_flags, ...extras].join(', ')})`
        : `no: ${ring.reason}`,
    ],
    ['ublk', ublk.available ? `yes (${ublk.features.join(', ')})` : `no: ${ublk.reason}`],
    ['kernels', machine.kernels ?? 'no: the native addon is missing'],
    ['O_DIRECT', `${direct.available ? 'yes' : 'no'} in ${direct.directory}`],
  ]).join('\n');
}
