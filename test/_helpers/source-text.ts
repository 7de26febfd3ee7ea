/**
 * Source files as text, for the rules of test/tidy.ts.
 *
 * `code` is the text with comments blanked and the inside of string, template and regular
 * expression literals blanked too (newlines and columns stay), so that a rule about code does not
 * fire on prose. This is a scanner, not a parser: it knows just enough of TypeScript to tell a
 * comment from a string from a division. `kinds` says, for each character, which it was.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './repository.ts';

const KIND_CODE = 0;
const KIND_COMMENT = 1;
export const KIND_LITERAL = 2;
/** Code between `${` and `}` of a template literal. */
export const KIND_INTERPOLATION = 3;

export interface SourceText {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Comments and the inside of literals blanked; same length as `text`. */
  readonly code: string;
  readonly codeLines: readonly string[];
  /** One KIND_* per character of `text`. */
  readonly kinds: Uint8Array;
}

const SKIPPED = new Set(['node_modules', 'dist', 'build', '.git', '.cache', 'coverage']);

/** Every file below `folders` of the repository whose name ends in one of `extensions`, sorted. */
export function listFiles(folders: readonly string[], extensions: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (relative: string): void => {
    const absolute = path.join(ROOT, relative);
    const status = statSync(absolute, { throwIfNoEntry: false });
    if (status === undefined) return;
    if (status.isFile()) {
      if (extensions.some((extension) => relative.endsWith(extension))) found.push(relative);
      return;
    }
    for (const name of readdirSync(absolute)) {
      if (!SKIPPED.has(name)) visit(relative === '.' ? name : `${relative}/${name}`);
    }
  };
  for (const folder of folders) visit(folder);
  return found.sort();
}

export function readSource(relative: string): SourceText {
  return sourceText(relative, readFileSync(path.join(ROOT, relative), 'utf8'));
}

export function sourceText(relative: string, text: string): SourceText {
  const kinds = /\.(ts|tsx|js)$/.test(relative) ? scan(text) : new Uint8Array(text.length);
  let code = '';
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index]!;
    const kind = kinds[index];
    const isCode = kind === KIND_CODE || kind === KIND_INTERPOLATION;
    code += isCode || character === '\n' ? character : ' ';
  }
  return {
    path: relative,
    text,
    lines: text.split('\n'),
    code,
    codeLines: code.split('\n'),
    kinds,
  };
}

/** A slash after one of these begins a regular expression; after anything else it divides. */
const BEFORE_REGEXP =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|void|do|else))\s*$/;

function scan(text: string): Uint8Array {
  const kinds = new Uint8Array(text.length);
  // One entry per template literal that is open around a `${`: its depth of braces.
  const templates: number[] = [];
  let braces = 0;
  let index = 0;

  const mark = (end: number, kind: number): void => {
    kinds.fill(kind, index, end);
    index = end;
  };
  const template = (from: number): void => {
    let at = from;
    while (at < text.length && text[at] !== '`') {
      if (text[at] === '\\') at += 1;
      else if (text[at] === '$' && text[at + 1] === '{') {
        mark(at, KIND_LITERAL);
        index = at + 2;
        templates.push(braces);
        braces += 1;
        return;
      }
      at += 1;
    }
    mark(Math.min(at, text.length), KIND_LITERAL);
    index += 1;
  };

  while (index < text.length) {
    const character = text[index]!;
    const next = text[index + 1];
    if (templates.length > 0) kinds[index] = KIND_INTERPOLATION;
    if (character === '/' && next === '/') {
      const end = text.indexOf('\n', index);
      mark(end === -1 ? text.length : end, KIND_COMMENT);
    } else if (character === '/' && next === '*') {
      const end = text.indexOf('*/', index + 2);
      mark(end === -1 ? text.length : end + 2, KIND_COMMENT);
    } else if (character === "'" || character === '"') {
      index += 1;
      mark(endOfQuoted(text, index, character), KIND_LITERAL);
      index += 1;
    } else if (character === '`') {
      index += 1;
      template(index);
    } else if (
      character === '/' &&
      BEFORE_REGEXP.test(text.slice(Math.max(0, index - 40), index))
    ) {
      index += 1;
      mark(endOfRegExp(text, index), KIND_LITERAL);
      index += 1;
    } else if (character === '{') {
      braces += 1;
      index += 1;
    } else if (character === '}') {
      braces -= 1;
      index += 1;
      if (templates.at(-1) === braces) {
        templates.pop();
        template(index);
      }
    } else index += 1;
  }
  return kinds;
}

function endOfQuoted(text: string, from: number, quote: string): number {
  let at = from;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') {
    at += text[at] === '\\' ? 2 : 1;
  }
  return Math.min(at, text.length);
}

function endOfRegExp(text: string, from: number): number {
  let at = from;
  let inClass = false;
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    at += 1;
  }
  return Math.min(at, text.length);
}

/** 1-based line of a character position. */
export function lineAt(source: SourceText, position: number): number {
  let line = 1;
  for (let index = source.text.indexOf('\n'); index !== -1 && index < position; line += 1) {
    index = source.text.indexOf('\n', index + 1);
  }
  return line;
}

const IMPORT = /\b(?:import|export)\b[^'";]*?\bfrom\s*['"]|\bimport\s*\(?\s*['"]/g;

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

export function importsOf(source: SourceText): Import[] {
  const found: Import[] = [];
  for (const match of source.code.matchAll(IMPORT)) {
    const start = match.index + match[0].length;
    const end = source.text.indexOf(source.text[start - 1]!, start);
    found.push({ specifier: source.text.slice(start, end), line: lineAt(source, start) });
  }
  return found;
}

/** The repository path of a relative import. */
export function resolveImport(source: SourceText, specifier: string): string {
  return path.posix.join(path.posix.dirname(source.path), specifier);
}
