/**
 * Arguments: one command line, parsed and checked against a command's data.         (control plane)
 *
 * The parser of yargs does the parsing, with the settings that keep names intact (no numbers, no
 * dots, no greedy arrays); the rest of yargs, which takes as long to load as a whole command, is
 * not used: help is made from the same data (help.ts). What the parser would do silently is made
 * explicit here: a repeated scalar option is an error, words after `--` are arguments like any
 * other, `--flag true` does not swallow `true`, and `--flag=maybe` is refused. Every value is a
 * string until one of the getters converts it.
 */

import { Parser } from 'yargs/helpers';
import { BandstandError } from '../block/errors.ts';
import { DURATION_HINT, parseDuration, parseSize, SIZE_HINT } from '../block/quantities.ts';
import { COMMON_OPTIONS, type Command, type OptionSpec } from './command.ts';
import { suggest } from './suggest.ts';

export function usageError(message: string, hint: string): BandstandError {
  return new BandstandError('BANDSTAND_USAGE', { message, hint });
}

export class Arguments {
  readonly #command: string;
  readonly #positionals: ReadonlyMap<string, readonly string[]>;
  readonly #options: ReadonlyMap<string, string | boolean | readonly string[]>;

  constructor(
    command: string,
    positionals: ReadonlyMap<string, readonly string[]>,
    options: ReadonlyMap<string, string | boolean | readonly string[]>,
  ) {
    this.#command = command;
    this.#positionals = positionals;
    this.#options = options;
  }

  /** A required positional. */
  positional(name: string): string {
    return this.#positionals.get(name)![0]!;
  }

  optionalPositional(name: string): string | null {
    return this.#positionals.get(name)?.[0] ?? null;
  }

  many(name: string): readonly string[] {
    return this.#positionals.get(name) ?? [];
  }

  /** False unless given. */
  flag(name: string): boolean {
    return this.#options.get(name) === true;
  }

  /** True, false (`--no-x`) or null when not given. */
  choice(name: string): boolean | null {
    const value = this.#options.get(name);
    return typeof value === 'boolean' ? value : null;
  }

  text(name: string): string | null {
    const value = this.#options.get(name);
    return typeof value === 'string' ? value : null;
  }

  list(name: string): readonly string[] {
    const value = this.#options.get(name);
    return Array.isArray(value) ? value : [];
  }

  sizeBytes(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const bytes = parseSize(text);
    if (bytes === null) {
      throw usageError(`cannot use --${name} '${text}': it is not a size`, SIZE_HINT);
    }
    return bytes;
  }

  durationMs(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const ms = parseDuration(text);
    if (ms === null) {
      throw usageError(`cannot use --${name} '${text}': it is not a duration`, DURATION_HINT);
    }
    return ms;
  }

  /** A whole number from `min` to `max`. */
  count(name: string, min: number, max: number): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw usageError(
        `cannot use --${name} '${text}': it has to be a whole number from ${min} to ${max}`,
        `see bandstand ${this.#command} --help`,
      );
    }
    return value;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T | null {
    const text = this.text(name);
    if (text === null) return null;
    const found = values.find((value) => value === text);
    if (found === undefined) {
      throw usageError(
        `cannot use --${name} '${text}': it has to be ${orList(values)}`,
        `see bandstand ${this.#command} --help`,
      );
    }
    return found;
  }

  get command(): string {
    return this.#command;
  }
}

/** `a`, `a or b`, `a, b or c`. */
export function orList(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** Parses `words` (everything after the verb's own word, in any order) for `command`. */
export function parseArguments(command: Command, words: readonly string[]): Arguments {
  const specs = [...COMMON_OPTIONS, ...command.options];
  const named = (isWanted: (spec: OptionSpec) => boolean): string[] =>
    specs.filter(isWanted).map(({ name }) => name);
  const isFlag = ({ kind, optionalValue }: OptionSpec): boolean =>
    kind === 'flag' && optionalValue === undefined;
  const { argv: parsed, error } = Parser.detailed(normaliseFlags(command, specs, words), {
    configuration: {
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'populate--': true,
    },
    boolean: named(isFlag),
    string: ['_', ...named((spec) => !isFlag(spec))],
    array: named(({ kind }) => kind === 'list'),
  });
  if (error) throw translateFailure(command, error.message);
  const options = collectOptions(command, specs, parsed);
  const rest = [...((parsed['_'] as string[]) ?? []), ...((parsed['--'] as string[]) ?? [])];
  return new Arguments(command.name, collectPositionals(command, rest.map(String)), options);
}

/** `--flag` → `--flag=true`, `--no-flag` → `--flag=false`, `-qn` → both long forms. */
function normaliseFlags(
  command: Command,
  specs: readonly OptionSpec[],
  words: readonly string[],
): string[] {
  const flags = new Map(specs.filter((spec) => spec.kind === 'flag').map((s) => [s.name, s]));
  const shorts = new Map(specs.flatMap((s) => (s.short === undefined ? [] : [[s.short, s.name]])));
  const valued = new Set(specs.filter((spec) => spec.kind !== 'flag').map((s) => s.name));
  const result: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    if (word === '--') return [...result, ...words.slice(index)];
    const long = /^--(no-)?([^=]+)(=.*)?$/s.exec(word);
    if (long !== null && flags.has(long[2]!)) {
      const optional = flags.get(long[2]!)!.optionalValue !== undefined;
      if (long[3] !== undefined && !(optional && long[1] === undefined)) {
        throw usageError(`cannot use ${word}: --${long[2]} takes no value`, `write --${long[2]}`);
      }
      result.push(long[3] === undefined ? `--${long[2]}=${long[1] === undefined}` : word);
    } else if (long !== null && long[1] === undefined && valued.has(long[2]!)) {
      if (long[3] !== undefined) {
        result.push(word);
        continue;
      }
      const value = words[index + 1];
      if (value === undefined || value === '--') {
        throw usageError(`cannot use --${long[2]}: it needs a value`, `write --${long[2]} VALUE`);
      }
      if (/^--?[a-zA-Z]/.test(value)) {
        throw usageError(
          `cannot use --${long[2]}: it needs a value, and '${value}' looks like an option`,
          `write --${long[2]}=${value} if that is the value`,
        );
      }
      result.push(`${word}=${value}`);
      index += 1;
    } else if (/^-[a-zA-Z]+$/.test(word)) {
      for (const letter of word.slice(1)) {
        const name = shorts.get(letter);
        if (name === undefined)
          throw usageError(
            `cannot use -${letter}: there is no such option`,
            'see bandstand --help',
          );
        result.push(`--${name}=true`);
      }
    } else if (long !== null) {
      // Here and not after parsing: yargs stumbles over names such as --constructor.
      throw unknownOption(command, specs, `${long[1] ?? ''}${long[2]}`);
    } else {
      result.push(word);
    }
  }
  return result;
}

function translateFailure(command: Command, message: string): BandstandError {
  return usageError(
    `cannot understand the command line: ${message.charAt(0).toLowerCase()}${message.slice(1)}`,
    `see bandstand ${command.name} --help`,
  );
}

function collectOptions(
  command: Command,
  specs: readonly OptionSpec[],
  parsed: Record<string, unknown>,
): Map<string, string | boolean | readonly string[]> {
  const known = new Map(specs.map((spec) => [spec.name, spec]));
  const options = new Map<string, string | boolean | readonly string[]>();
  for (const [key, value] of Object.entries(parsed)) {
    if (key === '_' || key === '--' || key === '$0' || value === undefined) continue;
    const spec = known.get(key);
    if (spec === undefined) throw unknownOption(command, specs, key);
    if (spec.kind === 'list') {
      options.set(key, (value as unknown[]).map(String));
    } else if (spec.optionalValue !== undefined && (value === 'true' || value === 'false')) {
      options.set(key, value === 'true');
    } else if (Array.isArray(value)) {
      throw usageError(`cannot use --${key} twice: it takes one value`, 'leave one of them out');
    } else {
      options.set(key, value as string | boolean);
    }
    if (value === '' || (Array.isArray(value) && value.includes(''))) {
      throw usageError(
        `cannot use --${key}: its value is empty`,
        'give it a value, or leave it out',
      );
    }
  }
  return options;
}

function unknownOption(
  command: Command,
  specs: readonly OptionSpec[],
  key: string,
): BandstandError {
  const shown = key.length === 1 ? `-${key}` : `--${key}`;
  const name = key.startsWith('no-') ? key.slice(3) : key;
  const near = suggest(
    name,
    specs.map((spec) => spec.name),
  );
  return usageError(
    `cannot use ${shown}: ${command.name} has no such option`,
    near === null ? `see bandstand ${command.name} --help` : `did you mean --${near}?`,
  );
}

function collectPositionals(
  command: Command,
  words: readonly string[],
): Map<string, readonly string[]> {
  const result = new Map<string, readonly string[]>();
  let at = 0;
  for (const spec of command.positionals) {
    const taken = spec.many ? words.slice(at) : words.slice(at, at + 1);
    if (taken.length === 0 && spec.required) {
      throw usageError(
        `cannot ${command.name}: ${spec.name} is missing`,
        `write bandstand ${synopsis(command)}`,
      );
    }
    if (taken.some((word) => word === '')) {
      throw usageError(
        `cannot ${command.name}: ${spec.name} is empty`,
        `write bandstand ${synopsis(command)}`,
      );
    }
    result.set(spec.name, taken);
    at += taken.length;
  }
  if (at < words.length) {
    throw usageError(
      `cannot ${command.name}: '${words[at]}' is one argument too many`,
      `write bandstand ${synopsis(command)}`,
    );
  }
  return result;
}

/** `create NAME [options] MEMBER…`, the first line of help without the program's name. */
export function synopsis(command: Command): string {
  const words = [command.name];
  for (const spec of command.positionals) {
    const name = spec.many ? `${spec.name}…` : spec.name;
    words.push(spec.required ? name : `[${name}]`);
  }
  return [...words, '[options]'].join(' ');
}
