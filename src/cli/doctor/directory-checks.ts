/**
 * Checks of the run and state directories, and of what a server writes.             (control plane)
 *
 * They have to be there, to belong to whoever runs servers, and to lie on storage that no stack
 * exports: a server that writes its log to its own device waits for itself when memory is short.
 */

import { type Check, notApplicable, ok, problem, type Question, warning } from './check.ts';

export interface PlaceFacts {
  readonly path: string;
  /** `null`: nothing is there. */
  readonly kind: 'directory' | 'file' | null;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly isWritable: boolean;
  /** The address of the export that it lies on, and whose; null: on none. */
  readonly onExport: ExportPlace | null;
}

export interface ExportPlace {
  readonly stack: string;
  readonly address: string;
  /** The place is on an NBD device, and stacks are exported over NBD: perhaps it is one of them. */
  readonly isCertain: boolean;
}

export interface DirectoryFacts extends PlaceFacts {
  readonly what: 'run' | 'state';
  /** Whoever runs doctor. */
  readonly ownUid: number;
  /** The directory where root's stacks are, at which others only look. */
  readonly isForeign: boolean;
}

const MACHINE = { area: 'machine', stack: null } as const;
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

export function directoryChecks(directories: readonly DirectoryFacts[]): Check[] {
  return directories.map(directoryCheck);
}

function directoryCheck(facts: DirectoryFacts): Check {
  const { kind, mode, onExport, ownUid, path, uid, what } = facts;
  const holds = what === 'run' ? 'sockets, locks, logs' : 'what is remembered of stacks';
  const question: Question = {
    ...MACHINE,
    name: `${what}-directory`,
    lookedAt: path,
    why: `${holds} lie there: nobody else may change them, and no stack may need itself for them`,
  };
  if (kind === null) {
    return notApplicable(question, `${path} is not there; the first stack makes it`);
  }
  if (kind === 'file') {
    return problem(question, `${path} is not a directory`, `choose another with --${what}-dir`);
  }
  if (onExport !== null) return onExportCheck(question, path, onExport, `--${what}-dir`);
  const octal = mode.toString(8).padStart(4, '0');
  if ((mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0) {
    const found = `${path} has mode ${octal}: others can change what is in it`;
    return problem(question, found, `chmod go-w ${path}`);
  }
  if (uid !== 0 && uid !== ownUid) {
    const found = `${path} belongs to user ${uid}`;
    return warning(question, found, `chown root ${path}, or choose another with --${what}-dir`);
  }
  if (!facts.isWritable && !facts.isForeign) {
    const found = `${path} cannot be written`;
    return problem(question, found, `run it with sudo, or choose another with --${what}-dir`);
  }
  return ok(question, `${path}, mode ${octal}`);
}

/** The same words for whatever a server needs: `option` is what moves it. */
export function onExportCheck(
  question: Question,
  path: string,
  { address, isCertain, stack }: ExportPlace,
  option: string,
): Check {
  const action = `move it: bandstand stop ${stack}, and export again with another ${option}`;
  if (!isCertain) {
    const found = `${path} is on the NBD device ${address}: perhaps that of a stack here`;
    return warning(question, found, `if it is: ${action}`);
  }
  const found = `${path} is on ${address}, which the stack ${stack} exports`;
  return problem(question, found, action);
}
