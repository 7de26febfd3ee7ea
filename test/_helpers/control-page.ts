/**
 * What bandstand-control(7) says about the protocol, for tests that hold it against the program.
 *
 * A method is a `.Ss` of METHODS: it begins with its socket, and then has lists of params and of
 * keys of its result, each `.It Va name` or, where it may be left out, `.It Op Va name`; or it says
 * `as of` another method.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './repository.ts';

export interface DocumentedName {
  readonly name: string;
  readonly optional: boolean;
}

export interface DocumentedMethod {
  readonly name: string;
  readonly socket: 'both' | 'control';
  readonly internal: boolean;
  readonly params: readonly DocumentedName[];
  readonly result: readonly DocumentedName[];
  /** Error codes that it names. */
  readonly codes: readonly string[];
  /** Verbs on whose pages the other errors are. */
  readonly verbs: readonly string[];
}

export const CONTROL_PAGE = readFileSync(path.join(ROOT, 'man/bandstand-control.7'), 'utf8');

function between(text: string, begin: string, end: string): string {
  const [, after = ''] = text.split(begin);
  return after.split(end)[0]!;
}

function namesIn(
  texts: ReadonlyMap<string, string>,
  method: string,
  what: string,
): DocumentedName[] {
  const text = texts.get(method)!;
  const [, other] = new RegExp(`^${what}: as of\\n\\.Sx (\\S+) \\.$`, 'm').exec(text) ?? [];
  if (other !== undefined) return namesIn(texts, other, what);
  const list = between(text, `\n${what}:\n.Bl `, '\n.El');
  return [...list.matchAll(/^\.It (Op )?Va (\S+)$/gm)].map(([, op, name]) => ({
    name: name!,
    optional: op !== undefined,
  }));
}

export function documentedMethods(page = CONTROL_PAGE): DocumentedMethod[] {
  const [, ...parts] = between(page, '\n.Sh METHODS\n', '\n.Sh ').split(/^\.Ss /m);
  const texts = new Map(
    parts.map((part) => [part.split('\n', 1)[0]!, `${part.slice(part.indexOf('\n'))}\n`]),
  );
  return [...texts].map(([name, text]) => {
    const [, socket] = /^\nOn (both|the control) sockets?\.\n/.exec(text) ?? [];
    if (socket === undefined) throw new Error(`${name} does not begin with its socket`);
    const [, errors = ''] = text.split('\nErrors:');
    return {
      name,
      socket: socket === 'both' ? 'both' : 'control',
      internal: text.includes('\nInternal: '),
      params: namesIn(texts, name, 'Params'),
      result: namesIn(texts, name, 'Result'),
      codes: [...errors.matchAll(/\bBANDSTAND_[A-Z_]+/g)].map(([code]) => code),
      verbs: [...errors.matchAll(/^\.Xr bandstand-(\S+) 8/gm)].map(([, verb]) => verb!),
    };
  });
}

/** The messages that it shows, as they go over a socket: without the breaks of lines. */
export function documentedMessages(page = CONTROL_PAGE): string[] {
  const blocks = between(page, '\n.Ss Messages\n', '\n.Ss ').matchAll(
    /^\.Bd -literal.*\n([\s\S]*?)\n\.Ed$/gm,
  );
  return [...blocks].flatMap(([, block]) =>
    block!.replaceAll(/\n +/g, '').split('\n').filter(Boolean),
  );
}
