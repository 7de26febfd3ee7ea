/**
 * What happened, as a hash (two runs of one seed must have the same one) and, when somebody wants
 * to read it, as lines.
 */

export class Trace {
  hash = 0x811c9dc5;
  readonly lines: string[] | null;

  constructor(verbose: boolean) {
    this.lines = verbose ? [] : null;
  }

  get verbose(): boolean {
    return this.lines !== null;
  }

  add(...numbers: readonly number[]): void {
    for (const number of numbers) {
      this.hash = Math.imul(this.hash ^ (number >>> 0), 0x01000193) >>> 0;
    }
  }

  say(line: string): void {
    this.lines?.push(line);
  }
}
