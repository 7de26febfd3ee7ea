/**
 * Device specifications: what a DEVICE argument may look like.                      (control plane)
 *
 *   device  = path [ "=" uuid ] | ( "null:" | "mem:" ) size | filter | array
 *   filter  = ( "error" | "delay" ) "(" device { "," key "=" value } ")"
 *   array   = level "(" [ "strip=" size "," ] device { "," device } ")"
 *   level   = "raid0" | "raid1" | "raid5f" | "concat"
 *
 * Outside parentheses a word that is none of the forms above is a path, whatever characters it has;
 * `./null:1G` names a file that looks like a form. Inside parentheses a path ends at a comma or a
 * parenthesis, unless it is written in double quotes. Nesting is limited, so that a hostile string
 * cannot exhaust the stack.
 */

import { resolve } from 'node:path';
import { BandstandError } from '../block/errors.ts';
import { parseSize, SIZE_HINT } from '../block/quantities.ts';
import { parseUuid } from '../block/uuid.ts';

export type DeviceSpec =
  | { readonly kind: 'path'; readonly path: string; readonly uuid: string | null }
  | { readonly kind: 'null'; readonly bytes: number }
  | { readonly kind: 'mem'; readonly bytes: number }
  | {
      readonly kind: 'error' | 'delay';
      readonly child: DeviceSpec;
      readonly options: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'array';
      readonly level: ArrayWord;
      readonly stripBytes: number | null;
      readonly members: readonly DeviceSpec[];
    };

export type ArrayWord = 'raid0' | 'raid1' | 'raid5f' | 'concat';

/** Of an array with strips that is created, or put together for a benchmark, without a size. */
export const STRIP_BYTES_DEFAULT = 128 * 1024;

const ARRAY_WORDS: readonly ArrayWord[] = ['raid0', 'raid1', 'raid5f', 'concat'];
const DEPTH_MAX = 8;
const MEMBERS_MAX = 255;

/** Throws BANDSTAND_DEVICE_INVALID with the position of what is wrong. */
export function parseDeviceSpec(text: string): DeviceSpec {
  const parser = new Parser(text);
  return parser.whole();
}

/** The specification as it would be written again; paths are quoted only where it is needed. */
export function formatDeviceSpec(spec: DeviceSpec): string {
  switch (spec.kind) {
    case 'path':
      return spec.uuid === null ? spec.path : `${spec.path}=${spec.uuid}`;
    case 'null':
    case 'mem':
      return `${spec.kind}:${spec.bytes}`;
    case 'error':
    case 'delay': {
      const options = Object.entries(spec.options).map(([key, value]) => `,${key}=${value}`);
      return `${spec.kind}(${nested(spec.child)}${options.join('')})`;
    }
    case 'array': {
      const strip = spec.stripBytes === null ? [] : [`strip=${spec.stripBytes}`];
      return `${spec.level}(${[...strip, ...spec.members.map(nested)].join(',')})`;
    }
  }
}

/** The same with every path made absolute, for a process that runs in another directory. */
export function absolutePaths(spec: DeviceSpec): DeviceSpec {
  switch (spec.kind) {
    case 'path':
      return { ...spec, path: resolve(spec.path) };
    case 'error':
    case 'delay':
      return { ...spec, child: absolutePaths(spec.child) };
    case 'array':
      return { ...spec, members: spec.members.map(absolutePaths) };
    default:
      return spec;
  }
}

function nested(spec: DeviceSpec): string {
  if (spec.kind !== 'path' || !/[,()"]/.test(spec.path)) return formatDeviceSpec(spec);
  return `"${spec.path}"${spec.uuid === null ? '' : `=${spec.uuid}`}`;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): DeviceSpec {
    if (this.#text === '') throw this.#error('it is empty', 0);
    if (this.#text.includes('\0'))
      throw this.#error('it contains a zero byte', this.#text.indexOf('\0'));
    const isForm = /^(null:|mem:|(error|delay|raid0|raid1|raid5f|concat)\()/.test(this.#text);
    if (!isForm) return pathSpec(this.#text);
    const spec = this.#device(0);
    if (this.#at < this.#text.length) {
      throw this.#error(`'${this.#text.slice(this.#at)}' is left over`, this.#at);
    }
    return spec;
  }

  #device(depth: number): DeviceSpec {
    if (depth > DEPTH_MAX) throw this.#error(`it is nested deeper than ${DEPTH_MAX}`, this.#at);
    const start = this.#at;
    if (this.#text[this.#at] === '"') return this.#quoted();
    const word = this.#word();
    if (this.#text[this.#at] === '(') {
      const level = ARRAY_WORDS.find((name) => name === word);
      if (level !== undefined) return this.#array(level, depth);
      if (word === 'error' || word === 'delay') return this.#filter(word, depth);
      throw this.#error(`'${word}(' is no form of device`, start);
    }
    if (word === '') throw this.#error('a device is missing', start);
    const memory = /^(null|mem):(.*)$/s.exec(word);
    if (memory === null) return pathSpec(word);
    const bytes = parseSize(memory[2]!);
    if (bytes === null || bytes === 0) {
      throw this.#error(`'${memory[2]}' is not a size`, start + memory[1]!.length + 1, SIZE_HINT);
    }
    return { kind: memory[1] as 'null' | 'mem', bytes };
  }

  #array(level: ArrayWord, depth: number): DeviceSpec {
    this.#open();
    let stripBytes: number | null = null;
    const members: DeviceSpec[] = [];
    do {
      const start = this.#at;
      const option = /^strip=([^,()]*)/.exec(this.#text.slice(this.#at));
      if (option !== null) {
        stripBytes = parseSize(option[1]!);
        if (stripBytes === null || stripBytes === 0) {
          throw this.#error(`the strip '${option[1]}' is not a size`, start + 6, SIZE_HINT);
        }
        this.#at += option[0].length;
      } else {
        members.push(this.#device(depth + 1));
      }
    } while (this.#comma());
    this.#close();
    if (members.length === 0) throw this.#error(`${level} has no members`, this.#at - 1);
    if (members.length > MEMBERS_MAX) {
      throw this.#error(`${level} has more than ${MEMBERS_MAX} members`, this.#at - 1);
    }
    return { kind: 'array', level, stripBytes, members };
  }

  #filter(kind: 'error' | 'delay', depth: number): DeviceSpec {
    this.#open();
    const child = this.#device(depth + 1);
    const options: Record<string, string> = {};
    while (this.#comma()) {
      const start = this.#at;
      const option = /^([a-z][a-z-]*)=([^,()]*)/.exec(this.#text.slice(this.#at));
      if (option === null) throw this.#error(`an option of ${kind} is not key=value`, start);
      const [whole, key, value] = option;
      if (Object.hasOwn(options, key!)) throw this.#error(`${key} is given twice`, start);
      options[key!] = value!;
      this.#at += whole.length;
    }
    this.#close();
    return { kind, child, options };
  }

  #quoted(): DeviceSpec {
    const start = this.#at;
    const end = this.#text.indexOf('"', start + 1);
    if (end === -1) throw this.#error('the closing quote is missing', start);
    const path = this.#text.slice(start + 1, end);
    if (path === '') throw this.#error('a path is empty', start);
    this.#at = end + 1;
    const suffix = this.#word();
    if (suffix === '') return { kind: 'path', path, uuid: null };
    const uuid = suffix.startsWith('=') ? parseUuid(suffix.slice(1)) : null;
    if (uuid === null) throw this.#error(`'${suffix}' is left over`, end + 1);
    return { kind: 'path', path, uuid };
  }

  /** Everything up to a comma or a parenthesis. */
  #word(): string {
    const match = /^[^,()"]*/.exec(this.#text.slice(this.#at))!;
    this.#at += match[0].length;
    return match[0];
  }

  #open(): void {
    this.#at += 1;
  }

  #comma(): boolean {
    if (this.#text[this.#at] !== ',') return false;
    this.#at += 1;
    return true;
  }

  #close(): void {
    if (this.#text[this.#at] !== ')') {
      throw this.#error('a comma or a closing parenthesis is missing', this.#at);
    }
    this.#at += 1;
  }

  #error(why: string, at: number, hint?: string): BandstandError {
    return new BandstandError('BANDSTAND_DEVICE_INVALID', {
      message: `cannot understand the device '${this.#text}': at character ${at + 1}: ${why}`,
      hint:
        hint ?? 'write PATH, null:SIZE, mem:SIZE, error(…), delay(…) or raid0(strip=64K,DEVICE,…)',
      details: { device: this.#text, character: at + 1 },
    });
  }
}

/** `path=UUID` names a member without a label; any other `=` belongs to the path. */
function pathSpec(word: string): DeviceSpec {
  const at = word.lastIndexOf('=');
  const uuid = at > 0 ? parseUuid(word.slice(at + 1)) : null;
  return uuid === null
    ? { kind: 'path', path: word, uuid: null }
    : { kind: 'path', path: word.slice(0, at), uuid };
}
