/**
 * Command: what a verb of the command line is made of.                              (control plane)
 *
 * A verb is plain data (arguments, options, examples) plus one function. Help, completion and the
 * parser are all made from the data, so they cannot disagree. The function returns its result as
 * JSON-ready data together with functions that render text and plain records *from* that data;
 * it prints nothing on stdout itself, so `--json` can never be mixed with text.
 */

import type { Arguments } from './arguments.ts';
import type { CommandContext } from './command-context.ts';

export interface PositionalSpec {
  /** Upper case, as it appears in the synopsis: `NAME`, `DEVICE`. */
  readonly name: string;
  readonly required: boolean;
  /** Takes all that is left; only the last positional may. */
  readonly many: boolean;
  /** What it may be, where that is a choice: for completion. */
  readonly words?: readonly string[];
}

export interface OptionSpec {
  /** Without dashes. */
  readonly name: string;
  /** `flag` takes no value, `text` one, `list` one each time and may be repeated. */
  readonly kind: 'flag' | 'text' | 'list';
  /** Name of the value in help, for example `SIZE`. */
  readonly value?: string;
  /** What the value may be, where that is a choice: for completion. */
  readonly words?: readonly string[];
  /** A flag that may also be written `--name=VALUE`; then `text` has the value. */
  readonly optionalValue?: string;
  readonly summary: string;
  /** How help shows a flag: `on` --x, `off` --no-x, `both` --[no-]x. Default `on`. */
  readonly shown?: 'on' | 'off' | 'both';
  readonly short?: string;
  /** Help shows it in the row of the option before it, which it goes with. */
  readonly joined?: boolean;
}

export interface CommandResult {
  /** Envelope schema, for example `bandstand.status/1`. */
  readonly schema: string;
  readonly data: unknown;
  /** For people; lines without the final line feed. Empty: nothing is printed. */
  text(): string;
  /** For `--plain`: records of fields. */
  plain(): readonly (readonly (string | number | null)[])[];
  /** Default 0. */
  readonly exitStatus?: number;
  /** True when the command has already written to stdout (follow modes, predicates). */
  readonly silent?: boolean;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly PositionalSpec[];
  readonly options: readonly OptionSpec[];
  /** Two, each a command line without the program's name and what it does. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  run(context: CommandContext, args: Arguments): Promise<CommandResult>;
}

/** One line of the command table: enough for help and for finding the module. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly group: 'create and export' | 'look' | 'members' | 'devices' | 'measure';
  load(): Promise<Command>;
}

export const COLORS = ['auto', 'always', 'never'] as const;

export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: 'json', kind: 'flag', short: 'j', summary: 'print one JSON document' },
  { name: 'plain', kind: 'flag', summary: 'print tab-separated records with exact numbers' },
  { name: 'quiet', kind: 'flag', short: 'q', summary: 'print no notes on stderr' },
  { name: 'verbose', kind: 'flag', short: 'v', summary: 'print more notes on stderr' },
  { name: 'input', kind: 'flag', shown: 'off', summary: 'never ask anything' },
  {
    name: 'color',
    kind: 'text',
    value: 'WHEN',
    words: COLORS,
    summary: 'auto, always or never',
  },
  { name: 'run-dir', kind: 'text', value: 'DIR', summary: 'sockets, locks and logs' },
  { name: 'state-dir', kind: 'text', value: 'DIR', summary: 'known stacks' },
  { name: 'timeout', kind: 'text', value: 'T', summary: 'how long to wait for kernel and server' },
  { name: 'help', kind: 'flag', short: 'h', summary: 'show help' },
  { name: 'version', kind: 'flag', short: 'V', summary: 'show the version' },
];

export const DRY_RUN: OptionSpec = {
  name: 'dry-run',
  kind: 'flag',
  short: 'n',
  summary: 'show what would be done, write nothing',
};
