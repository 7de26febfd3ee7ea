/**
 * Help texts, made from the command table.                                          (control plane)
 *
 * Help for a verb starts with two examples and fits 24 lines of 100 columns (a test counts them);
 * the manual has everything.
 */

import { synopsis } from './arguments.ts';
import type { Command, CommandEntry, OptionSpec } from './command.ts';
import { table } from './table.ts';

export function programHelp(entries: readonly CommandEntry[]): string {
  const groups = [...new Set(entries.map((entry) => entry.group))];
  const lines = [
    'bandstand create tank --raid raid1 /dev/sdb /dev/sdc    makes a mirror of two disks',
    'bandstand export tank                                   makes it a block device',
    '',
    'usage: bandstand VERB [NAME] [options]',
  ];
  for (const group of groups) {
    lines.push('', `${group}:`);
    const rows = entries.filter((e) => e.group === group).map((e) => [e.name, e.summary]);
    lines.push(...table(rows, { indent: '  ' }));
  }
  lines.push('', 'bandstand VERB --help explains a verb; the manual is bandstand(8).');
  return lines.join('\n');
}

export function commandHelp(command: Command): string {
  const examples = command.examples.map(([line, meaning]) => [`bandstand ${line}`, meaning]);
  const lines = [
    ...table(examples),
    '',
    `usage: bandstand ${synopsis(command)}`,
    `${command.summary}`,
  ];
  if (command.options.length > 0) {
    lines.push('', ...table(optionRows(command.options), { indent: '  ' }));
  }
  lines.push(
    '',
    'common: --json --plain --quiet --verbose --no-input --color=WHEN --run-dir DIR',
    '        --state-dir DIR --timeout T',
  );
  return lines.join('\n');
}

function optionRows(specs: readonly OptionSpec[]): [string, string][] {
  const rows: [string, string][] = [];
  for (const spec of specs) {
    const row = optionRow(spec);
    const before = rows.at(-1);
    if (spec.joined !== true || before === undefined) rows.push(row);
    else rows[rows.length - 1] = [`${before[0]}, ${row[0]}`, `${before[1]}; ${row[1]}`];
  }
  return rows;
}

function optionRow(spec: OptionSpec): [string, string] {
  const prefix = { on: '', off: 'no-', both: '[no-]' }[spec.shown ?? 'on'];
  const short = spec.short === undefined ? '' : `-${spec.short}, `;
  const optional = spec.optionalValue === undefined ? '' : `[=${spec.optionalValue}]`;
  const value = spec.value === undefined ? optional : ` ${spec.value}`;
  const repeat = spec.kind === 'list' ? '…' : '';
  return [`${short}--${prefix}${spec.name}${value}${repeat}`, spec.summary];
}
