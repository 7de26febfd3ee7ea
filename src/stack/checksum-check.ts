/**
 * ChecksumCheck: the first half of a check of a stack with an FTL.                  (control plane)
 *
 * What a checksum says is better than what most members say. So the FTL reads everything that it
 * has first, on every mirror, and mends what is wrong if that is wanted; only then the array
 * compares its members. By then they can differ only in what nobody needs, or in what is lost, and
 * with repair the parity of data that is right is made right. Where there is nothing to compare (no
 * redundancy, a member missing, a rebuild that has begun) the check ends with the first half.
 *
 * For clients both are one check: one start, one end, one sum. So the events of the array's half
 * pass through here. The first half ends with the server; the array's goes on at the next start.
 */

import { BandstandError } from '../block/errors.ts';
import { formatCount } from '../block/quantities.ts';
import type { ActivityStatus } from '../control/schema.ts';
import type { FtlCheckProgress, FtlCheckReport } from '../ftl/check.ts';
import type { Ftl } from '../ftl/ftl.ts';
import { FTL_BLOCK_BYTES } from '../ftl/geometry.ts';
import { type ArrayEvent, arrayEvent, type EventParts } from '../raid/array-events.ts';

export type CheckedFtl = Pick<Ftl, 'check' | 'runningCheck'>;

export interface ChecksumCheckHost {
  readonly name: string;
  /** Null while the stack has none. */
  ftl(): CheckedFtl | null;
  /** Lets the reactor turn until the work is over. */
  keep(work: Promise<void>): void;
  emit(event: ArrayEvent): void;
  /** Begins the array's half; throws BandstandError why there is none. */
  compare(repair: boolean): Promise<void>;
}

type Counts = Pick<FtlCheckReport, 'wrongCount' | 'repairedCount' | 'lostCount'>;

export class ChecksumCheck {
  readonly #host: ChecksumCheckHost;
  /** Of a first half that is over while the array's goes on. */
  #report: FtlCheckReport | null = null;
  #repair = false;
  /** The first half is over, and the array does not compare yet. */
  #isBetween = false;

  constructor(host: ChecksumCheckHost) {
    this.#host = host;
  }

  /** Null while the first half does not run. */
  get progress(): FtlCheckProgress | null {
    return this.#host.ftl()?.runningCheck?.progress ?? null;
  }

  start(repair: boolean): void {
    this.#repair = repair;
    this.#report = null;
    const message = `check${repair ? ' with repair' : ''} started`;
    this.#emit({ kind: 'check-started', message, details: { repair, resumed: false } });
    this.#host.keep(this.#run(this.#host.ftl()!));
  }

  /** True when something has changed. */
  act(action: 'pause' | 'resume' | 'stop'): boolean {
    const check = this.#host.ftl()!.runningCheck!;
    const { paused } = check.progress;
    check[action]();
    if (action === 'stop') return true;
    if (paused === (action === 'pause')) return false;
    const [kind, how] =
      action === 'pause'
        ? (['process-paused', 'is paused'] as const)
        : (['process-resumed', 'goes on'] as const);
    this.#emit({ kind, message: `the check ${how}` });
    return true;
  }

  async #run(ftl: CheckedFtl): Promise<void> {
    try {
      const report = await ftl.check({ repair: this.#repair });
      if (report.stopped) this.#end(report, 'check-stopped', 'it was asked for');
      else await this.#goOn(report);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      this.#emit({
        kind: 'check-stopped',
        severity: 'error',
        message: 'the check cannot run',
        reason: error.message,
        action: error.hint,
      });
    }
  }

  async #goOn(report: FtlCheckReport): Promise<void> {
    this.#report = report;
    this.#isBetween = true;
    try {
      await this.#host.compare(this.#repair);
    } catch (error) {
      this.#report = null;
      if (!(error instanceof BandstandError)) throw error;
      this.#end(report, 'check-finished', `members were not compared: ${error.message}`);
    } finally {
      this.#isBetween = false;
    }
  }

  #end(report: FtlCheckReport, kind: 'check-finished' | 'check-stopped', reason: string): void {
    this.#emit(this.#ended(kind, report, null, reason));
  }

  /** An event of the array as clients see it; null for what they have heard already. */
  arrayEvent(event: ArrayEvent): ArrayEvent | null {
    const report = this.#report;
    if (report === null) return event;
    const { details, kind, reason } = event;
    if (kind === 'check-started') return details['resumed'] === true ? event : null;
    if (kind !== 'check-finished' && kind !== 'check-stopped') return event;
    // It made way for a rebuild, and goes on.
    const waits = details['waits'] === true;
    if (!waits) this.#report = null;
    const counts = {
      wrongCount: Number(details['mismatched_blocks'] ?? 0),
      repairedCount: Number(details['repaired_blocks'] ?? 0),
      lostCount: Number(details['lost_blocks'] ?? 0),
    };
    const ended = this.#ended(kind, report, counts, reason);
    const severity = event.severity === 'info' ? ended.severity : event.severity;
    return arrayEvent({ ...ended, severity, details: { ...ended.details, waits } });
  }

  /** The activity with what the first half has found. */
  activity(ofArray: ActivityStatus): ActivityStatus {
    const progress = this.progress;
    if (progress !== null) return checksumActivity(ofArray, progress);
    const report = this.#report;
    if (report === null) return ofArray;
    // Who waits for the check must not take the moment between its halves for its end.
    if (this.#isBetween && ofArray.kind === 'idle') return halfDone(ofArray, report);
    if (ofArray.kind !== 'check') return ofArray;
    return {
      ...ofArray,
      mismatched_blocks: (ofArray.mismatched_blocks ?? 0) + report.wrongCount,
      repaired_blocks: (ofArray.repaired_blocks ?? 0) + report.repairedCount,
      lost_blocks: (ofArray.lost_blocks ?? 0) + report.lostCount,
    };
  }

  #ended(
    kind: 'check-finished' | 'check-stopped',
    own: Counts,
    ofArray: Counts | null,
    reason: string | null,
  ): ArrayEvent {
    const repair = this.#repair;
    const sum = (key: keyof Counts): number => own[key] + (ofArray?.[key] ?? 0);
    const [wrong, repaired, lost] = [sum('wrongCount'), sum('repairedCount'), sum('lostCount')];
    const bad = wrong + lost > 0;
    const found = [`${blocks(own.wrongCount)} had a wrong checksum`];
    if (ofArray !== null) found.push(`${blocks(ofArray.wrongCount)} of the members disagreed`);
    found.push(`${blocks(lost)} could not be restored from anything`);
    const left = bad && !repair ? 'nothing was changed' : `${repaired} were repaired`;
    const how = kind === 'check-finished' ? 'is complete' : 'has stopped';
    return arrayEvent({
      kind,
      severity: bad ? 'warning' : 'info',
      message: `check ${how}: ${found.join(', ')}; ${left}`,
      reason,
      action: this.#action(bad, lost),
      details: {
        mismatched_blocks: wrong,
        repaired_blocks: repaired,
        lost_blocks: lost,
        wrong_checksums: own.wrongCount,
        waits: false,
      },
    });
  }

  #action(bad: boolean, lost: number): string | null {
    if (bad && !this.#repair) return `bandstand check ${this.#host.name} --repair`;
    return lost === 0 ? null : 'write what is lost again, or restore it from a backup';
  }

  #emit(parts: EventParts): void {
    this.#host.emit(arrayEvent(parts));
  }
}

function checksumActivity(base: ActivityStatus, progress: FtlCheckProgress): ActivityStatus {
  const { paused, rateBytesPerSecond: rate, etaSeconds: eta } = progress;
  return {
    ...base,
    kind: 'check',
    step: 'checksums',
    pace: paused ? 'paused' : rate === 0 ? 'stalled' : eta === null ? 'estimating' : 'running',
    done_bytes: progress.doneBytes,
    total_bytes: progress.totalBytes,
    rate_bytes_per_second: rate === null ? null : Math.round(rate),
    eta_seconds: eta === null ? null : Math.max(0, Math.round(eta)),
    mismatched_blocks: progress.wrongCount,
    repaired_blocks: progress.repairedCount,
    lost_blocks: progress.lostCount,
  };
}

function halfDone(base: ActivityStatus, report: FtlCheckReport): ActivityStatus {
  const bytes = report.checkedBlocks * FTL_BLOCK_BYTES;
  return {
    ...base,
    kind: 'check',
    step: 'checksums',
    pace: 'running',
    done_bytes: bytes,
    total_bytes: bytes,
    mismatched_blocks: report.wrongCount,
    repaired_blocks: report.repairedCount,
    lost_blocks: report.lostCount,
  };
}

function blocks(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}
