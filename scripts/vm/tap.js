/**
 * Counts and prints tests as TAP (the Test Anything Protocol): the ones that guest scripts report
 * line by line, and the ones that the host adds about the guest itself.
 */

const resultLine = /^(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$/;

export class TapReport {
  counts = { passed: 0, failed: 0, skipped: 0 };
  #number = 0;

  pass(title) {
    this.counts.passed++;
    console.log(`ok ${++this.#number} - ${title}`);
  }

  /** @param {string} [details] shown below as comments */
  fail(title, details = '') {
    this.counts.failed++;
    console.log(`not ok ${++this.#number} - ${title}`);
    if (details !== '') this.comment(details);
  }

  skip(title, reason) {
    this.counts.skipped++;
    console.log(`ok ${++this.#number} - ${title} # SKIP ${reason}`);
  }

  comment(text) {
    for (const line of text.trimEnd().split('\n')) console.log(`# ${line}`);
  }

  /**
   * Takes over one line of a guest script's output; `group` goes in front of the title.
   *
   * @returns {boolean} whether the line was the result of a test
   */
  take(line, group) {
    const found = resultLine.exec(line);
    if (!found) {
      console.log(line.startsWith('#') ? line : `# ${line}`);
      return false;
    }
    const [, negation, title, reason] = found;
    if (negation) this.fail(`${group}: ${title}`);
    else if (reason !== undefined) this.skip(`${group}: ${title}`, reason);
    else this.pass(`${group}: ${title}`);
    return true;
  }

  /** Prints the plan and the counts, which are the last line. */
  finish() {
    const { passed, failed, skipped } = this.counts;
    console.log(`1..${this.#number}`);
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}
