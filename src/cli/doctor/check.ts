/**
 * Check: one thing that doctor has looked at, and what there is to say about it.    (control plane)
 *
 * A check is made from facts by a pure function; who reads the facts is another matter. `problem`
 * is what does not work, or has lost its protection, until somebody does something; `warning` is
 * what works and could work better, or mends itself. Only problems change the exit status.
 */

import { printable, table } from '../table.ts';

export type CheckState = 'ok' | 'warning' | 'problem' | 'not-applicable';
export type CheckArea = 'machine' | 'server' | 'leftovers' | 'stack';

export interface Check {
  readonly area: CheckArea;
  /** The stack that it is about; null: the machine, or all of them. */
  readonly stack: string | null;
  /** Stable, for scripts: `io-uring`, `member-0`. */
  readonly name: string;
  readonly state: CheckState;
  /** What was looked at: a file, a device, a question. */
  readonly lookedAt: string;
  readonly found: string;
  readonly why: string;
  /** What to do, with the command where there is one; null: nothing. */
  readonly action: string | null;
}

/** What all checks of one subject have in common. */
export type Subject = Pick<Check, 'area' | 'stack'>;
/** What a check is about, whatever is found. */
export type Question = Subject & Pick<Check, 'name' | 'lookedAt' | 'why'>;

export function ok(question: Question, found: string): Check {
  return { ...question, state: 'ok', found, action: null };
}

export function notApplicable(question: Question, found: string): Check {
  return { ...question, state: 'not-applicable', found, action: null };
}

export function warning(question: Question, found: string, action: string | null): Check {
  return { ...question, state: 'warning', found, action };
}

export function problem(question: Question, found: string, action: string | null): Check {
  return { ...question, state: 'problem', found, action };
}

export const STATES: readonly CheckState[] = ['problem', 'warning', 'ok', 'not-applicable'];

export function countOf(checks: readonly Check[], state: CheckState): number {
  return checks.filter((check) => check.state === state).length;
}

/** 1 when something is a problem. */
export function exitStatusOf(checks: readonly Check[]): 0 | 1 {
  return countOf(checks, 'problem') === 0 ? 0 : 1;
}

// --- as text and as records ----------------------------------------------------------------------

const MARKS: Readonly<Record<CheckState, string>> = {
  ok: 'ok',
  warning: 'warning',
  problem: 'PROBLEM',
  'not-applicable': '-',
};

/** A heading for each subject, a line for each check, and why and what to do where it is not ok. */
export function checksText(checks: readonly Check[]): string {
  const headings = [...new Set(checks.map(headingOf))];
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  const lines: string[] = [];
  for (const heading of headings) {
    if (lines.length > 0) lines.push('');
    lines.push(printable(heading));
    const indent = ' '.repeat(MARKS.problem.length + width + 6);
    for (const check of checks.filter((one) => headingOf(one) === heading)) {
      const mark = MARKS[check.state].padEnd(MARKS.problem.length);
      const cells = [mark, check.name.padEnd(width), check.found];
      lines.push(...table([cells], { indent: '  ' }));
      if (check.state !== 'problem' && check.state !== 'warning') continue;
      lines.push(`${indent}why: ${printable(check.why)}`);
      if (check.action !== null) lines.push(`${indent}do: ${printable(check.action)}`);
    }
  }
  return [...lines, '', summary(checks)].join('\n');
}

function headingOf({ area, stack }: Check): string {
  if (area === 'server') return `server of ${stack}`;
  if (area === 'stack') return `stack ${stack}`;
  return area;
}

/** `1 problem, 2 warnings, 14 checks in order` */
function summary(checks: readonly Check[]): string {
  const counts = [
    plural(countOf(checks, 'problem'), 'problem'),
    plural(countOf(checks, 'warning'), 'warning'),
    `${plural(countOf(checks, 'ok'), 'check')} in order`,
  ];
  return counts.join(', ');
}

function plural(count: number, what: string): string {
  if (count === 0) return `no ${what}s`;
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function checkJson(check: Check): Record<string, unknown> {
  const { action, area, found, lookedAt, name, stack, state, why } = check;
  return { area, stack, name, state, looked_at: lookedAt, found, why, action };
}

export function checkRecord(check: Check): (string | null)[] {
  const { action, area, found, name, stack, state } = check;
  return [area, stack, name, state, found, action];
}
