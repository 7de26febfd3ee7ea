/**
 * The verbs, in the order of the help text.                                         (control plane)
 *
 * Each verb's module is loaded only when it is used: starting `bandstand list` must not pay for the
 * data path.
 */

import type { CommandEntry } from './command.ts';

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'create',
    summary: 'make a stack from devices',
    group: 'create and export',
    load: async () => (await import('./commands/create.ts')).create,
  },
  {
    name: 'export',
    summary: 'assemble a stack and make it a block device (ublk) or an NBD server',
    group: 'create and export',
    load: async () => (await import('./commands/export.ts')).exportCommand,
  },
  {
    name: 'unexport',
    summary: 'remove exports; the stack keeps running',
    group: 'create and export',
    load: async () => (await import('./commands/unexport.ts')).unexport,
  },
  {
    name: 'upgrade',
    summary: 'replace the server by one of this version, with I/O running',
    group: 'create and export',
    load: async () => (await import('./commands/upgrade.ts')).upgrade,
  },
  {
    name: 'stop',
    summary: 'flush, remove the export and end the server',
    group: 'create and export',
    load: async () => (await import('./commands/stop.ts')).stop,
  },
  {
    name: 'list',
    summary: 'the known stacks, one line each',
    group: 'look',
    load: async () => (await import('./commands/list.ts')).list,
  },
  {
    name: 'status',
    summary: 'health, activity, members and I/O of a stack',
    group: 'look',
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'monitor',
    summary: 'a stack on the terminal, as it goes on',
    group: 'look',
    load: async () => (await import('./commands/monitor.ts')).monitor,
  },
  {
    name: 'events',
    summary: 'what has happened to a stack, and what happens',
    group: 'look',
    load: async () => (await import('./commands/events.ts')).events,
  },
  {
    name: 'wait',
    summary: 'return when a stack is done with a rebuild, resync or check',
    group: 'look',
    load: async () => (await import('./commands/wait.ts')).wait,
  },
  {
    name: 'metrics',
    summary: 'the numbers of stacks, printed or served, for Prometheus',
    group: 'look',
    load: async () => (await import('./commands/metrics.ts')).metrics,
  },
  {
    name: 'doctor',
    summary: 'what is wrong here, why, and what to do',
    group: 'look',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    name: 'member',
    summary: 'add, fail, remove or replace a member',
    group: 'members',
    load: async () => (await import('./commands/member.ts')).member,
  },
  {
    name: 'cache',
    summary: 'attach or detach an NV cache',
    group: 'members',
    load: async () => (await import('./commands/cache.ts')).cache,
  },
  {
    name: 'rebuild',
    summary: 'pause, resume, cancel or limit a rebuild',
    group: 'members',
    load: async () => (await import('./commands/rebuild.ts')).rebuild,
  },
  {
    name: 'check',
    summary: 'compare the members with each other, repair what disagrees',
    group: 'members',
    load: async () => (await import('./commands/check.ts')).check,
  },
  {
    name: 'examine',
    summary: 'what is on a device: superblock, label, foreign data',
    group: 'devices',
    load: async () => (await import('./commands/examine.ts')).examine,
  },
  {
    name: 'wipe',
    summary: "erase bandstand's metadata from a device",
    group: 'devices',
    load: async () => (await import('./commands/wipe.ts')).wipe,
  },
  {
    name: 'forget',
    summary: 'remember a stack no longer; its devices are left alone',
    group: 'devices',
    load: async () => (await import('./commands/forget.ts')).forget,
  },
  {
    name: 'features',
    summary: 'what this machine offers: kernel, io_uring, ublk, CPU',
    group: 'measure',
    load: async () => (await import('./commands/features.ts')).features,
  },
  {
    name: 'completion',
    summary: 'a script for bash, zsh or fish',
    group: 'measure',
    load: async () => (await import('./commands/completion.ts')).completionOf(COMMANDS),
  },
  {
    name: 'rpc',
    summary: 'one request to the server of a stack, for scripts',
    group: 'measure',
    load: async () => (await import('./commands/rpc.ts')).rpc,
  },
  {
    name: 'bench',
    summary: 'measure a device or an arrangement of devices',
    group: 'measure',
    load: async () => (await import('./commands/bench.ts')).bench,
  },
];
