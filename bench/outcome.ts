/**
 * Outcome: one line of a benchmark's report, with its target and verdict.
 */

export interface Outcome {
  readonly name: string;
  /** With its unit. */
  readonly value: string;
  readonly target: string | null;
  /** Null: shown, not judged. */
  readonly pass: boolean | null;
  readonly note: string;
}

/** Prints it as a line of JSON, for the process that shows it. */
export function tell(
  name: string,
  value: string,
  judged: { readonly target: string; readonly pass: boolean } | null = null,
  note = '',
): void {
  const { target, pass } = judged ?? { target: null, pass: null };
  const outcome: Outcome = { name, value, target, pass, note };
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

export function atLeast(value: number, target: number, text = `≥ ${target}`) {
  return { target: text, pass: value >= target };
}

export function atMost(value: number, target: number, text = `≤ ${target}`) {
  return { target: text, pass: value <= target };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const thousands = (rate: number): string => `${(rate / 1000).toFixed(0)} k/s`;
export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
