/**
 * Text of status and list, rendered from the status document and nothing else.      (control plane)
 */

import {
  formatCount,
  formatDuration,
  formatEstimate,
  formatLatency,
  formatSize,
} from '../block/quantities.ts';
import {
  type ActivityStatus,
  type ArrayStatus,
  type CacheStatusDocument,
  type FtlStatusDocument,
  IDLE,
  type MemberStatusDocument,
  type StatusDocument,
} from '../control/schema.ts';
import { type Align, keyLines, table } from './table.ts';

const BLOCK_BYTES = 4096;

/** The block of lines of `bandstand status NAME`; `nowMs` is for "running since". */
export function statusText(status: StatusDocument, nowMs: number): string {
  const { array, server } = status;
  const uuid = status.uuid === null ? '' : ` (${status.uuid})`;
  const state =
    server === null
      ? 'not running'
      : `running ${formatDuration(Math.max(0, nowMs - Date.parse(server.started_at)))}`;
  const size = status.size_bytes === null ? null : formatSize(status.size_bytes);
  const exports = status.exports.map(
    (one) => `${one.address}, ${formatSize(one.size_bytes)}${one.read_only ? ', read-only' : ''}`,
  );
  const sizeTold = status.exports.some((one) => one.size_bytes === status.size_bytes);
  const lines = keyLines([
    ['stack', `${status.name}${uuid}, ${state}`],
    ['health', status.health],
    ['activity', server === null ? null : activityWords(status.activity)],
    ['reason', status.reason],
    ['action', status.action],
    ['export', server === null ? null : exports.length === 0 ? 'none' : exports.join('; ')],
    ['size', sizeTold ? null : size],
    ['ftl', status.ftl === null ? null : ftlLine(status.ftl)],
    ['cache', status.cache === null ? null : cacheLine(status.cache)],
    ['found', status.cache === null ? null : recoveryLine(status.cache)],
    [status.activity.kind, hasProgress(status.activity) ? activityLine(status.activity) : null],
    mirrorProgress(status),
  ]);
  if (array !== null) lines.push('', ...memberTable(status));
  if (status.io !== null) lines.push('', ...ioTable(status.io));
  return lines.join('\n');
}

/** `1.2 GiB used, 31 of 506 bands free, write amplification 1.43`, and what has rotted */
function ftlLine(ftl: FtlStatusDocument): string {
  const { valid_blocks, bands, write_amplification } = ftl;
  const parts = [
    `${formatSize(valid_blocks * BLOCK_BYTES)} used`,
    `${bands.free} of ${bands.total} bands free`,
  ];
  if (write_amplification !== null) {
    parts.push(`write amplification ${write_amplification.toFixed(2)}`);
  }
  const { repaired_checksums: repaired, unreadable_blocks: lost, wrong_checksums: wrong } = ftl;
  if (wrong > 0)
    parts.push(`${formatCount(wrong)} wrong checksums, ${formatCount(repaired)} mended`);
  if (lost > 0) parts.push(`${blocksText(lost)} right nowhere`);
  return parts.join(', ');
}

/** `48.0 MiB of 64.0 MiB in use, phase 2, 62 % of what left it was overwritten there` */
function cacheLine(cache: CacheStatusDocument): string {
  const { drained_blocks: drained, dropped_blocks: dropped, lost_blocks: lost } = cache;
  const { phase, size_bytes: size, undrained_bytes: undrained, used_bytes: used } = cache;
  const parts: string[] = [];
  if (used !== null && size !== null) {
    parts.push(`${formatSize(used)} of ${formatSize(size)} in use`, `phase ${phase}`);
  } else {
    parts.push(cache.state);
  }
  if (undrained !== null && undrained > 0) parts.push(`${formatSize(undrained)} not drained`);
  if (drained + dropped > 0) {
    const percent = Math.floor((100 * dropped) / (drained + dropped));
    parts.push(`${percent} % of what left it was overwritten there`);
  }
  if (lost > 0) parts.push(`${blocksText(lost)} lost`);
  return parts.join(', ');
}

/** `Scan the NV cache: 512 MiB of 1 GiB; phase 1: 2 013 records, 3 old, 1 torn` */
function recoveryLine(cache: CacheStatusDocument): string | null {
  const { recovery } = cache;
  if (recovery === null) return null;
  const parts: string[] = [];
  const { blocks_done: done, blocks_total: total, over, step } = recovery;
  const [doneSize, totalSize] = [done, total].map((blocks) => formatSize(blocks * BLOCK_BYTES));
  if (over) parts.push(total === 0 ? 'nothing was to be drained' : `${totalSize} drained`);
  else parts.push(total === 0 ? step : `${step}: ${doneSize} of ${totalSize}`);
  for (const { phase, records_old: old, records_torn: torn, records_valid } of recovery.ranges) {
    const counts = [`${formatCount(records_valid)} records`];
    if (old > 0) counts.push(`${formatCount(old)} old`);
    if (torn > 0) counts.push(`${formatCount(torn)} torn`);
    parts.push(`phase ${phase}: ${counts.join(', ')}`);
  }
  if (recovery.unreadable_blocks > 0) {
    parts.push(`${blocksText(recovery.unreadable_blocks)} cannot be read`);
  }
  return parts.join('; ');
}

/** `cache rebuild`, and how far it is: of the mirror under the NV cache. */
function mirrorProgress({ cache }: StatusDocument): readonly [string, string | null] {
  const activity = cache?.activity ?? IDLE;
  return [`cache ${activity.kind}`, hasProgress(activity) ? activityLine(activity) : null];
}

function hasProgress({ done_bytes, total_bytes }: ActivityStatus): boolean {
  return done_bytes !== null && total_bytes !== null;
}

/** `rebuild of slot 2`, `check, repair`: how far it is has a line of its own. */
function activityWords(activity: ActivityStatus): string {
  const { kind, member_slot, step } = activity;
  const slot = member_slot === null ? '' : ` of slot ${member_slot}`;
  return `${kind}${slot}${step === null ? '' : `, ${step}`}`;
}

/** `rebuild 41 %, ~59 min`: short, for a column. */
export function activityText(activity: ActivityStatus): string {
  const { kind, done_bytes, total_bytes, step } = activity;
  const parts: string[] = [kind];
  if (done_bytes !== null && total_bytes !== null) {
    parts[0] = `${kind} ${Math.floor(share(activity))} %`;
  }
  const pace = paceText(activity);
  if (pace !== null) parts.push(pace);
  if (step !== null) parts.push(step);
  return parts.join(', ');
}

function paceText({ pace, eta_seconds }: ActivityStatus): string | null {
  if (pace === 'running' && eta_seconds !== null) return `~${formatEstimate(eta_seconds)}`;
  return pace === 'running' ? null : pace;
}

/** Percent, never above 100. Nothing to do is all done. */
function share({ done_bytes, total_bytes }: ActivityStatus): number {
  if (done_bytes === null || total_bytes === null) return 0;
  return total_bytes === 0 ? 100 : Math.min(100, (100 * done_bytes) / total_bytes);
}

/** `41.0 %`; 100.0 only for all of it. */
export function shareText(activity: ActivityStatus): string {
  return `${(Math.floor(share(activity) * 10) / 10).toFixed(1)} %`;
}

/** `41.0 % of 3.49 TiB at 612 MiB/s, about 59 min left`, and what else is known. */
export function activityLine(activity: ActivityStatus): string {
  const { pace, total_bytes, rate_bytes_per_second: rate, eta_seconds: eta } = activity;
  const parts = [`${shareText(activity)} of ${formatSize(total_bytes ?? 0)}`];
  if (pace === 'running' && rate !== null) parts[0] += ` at ${formatSize(rate)}/s`;
  if (pace === 'running' && eta !== null) parts.push(`about ${formatEstimate(eta)} left`);
  else if (pace !== null && pace !== 'running') parts.push(pace);
  return [...parts, ...activityRemarks(activity)].join(', ');
}

/** Its limit, and what it has found: `limited to 200 MiB/s`, `2 blocks repaired`. */
export function activityRemarks(activity: ActivityStatus): string[] {
  const parts: string[] = [];
  const limit = activity.limit_bytes_per_second;
  if (limit !== null) parts.push(`limited to ${formatSize(limit)}/s`);
  const counts = [
    [activity.mismatched_blocks, 'disagreed'],
    [activity.repaired_blocks, 'repaired'],
    [activity.lost_blocks, 'lost'],
  ] as const;
  for (const [count, what] of counts) {
    if (count !== null && count > 0) parts.push(`${blocksText(count)} ${what}`);
  }
  return parts;
}

function blocksText(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}

function memberTable(status: StatusDocument): string[] {
  const array = status.array!;
  const strip =
    array.strip_size_bytes === null ? '' : `, strip ${formatSize(array.strip_size_bytes)}`;
  const rows: string[][] = [['', 'DEVICE', 'ROLE', 'HEALTH', 'READ', 'WRITE', '']];
  rows.push(['array', `${array.level}${strip}`, '', status.health, '', '', '']);
  rows.push(...memberRows(array, ''));
  const { cache } = status;
  if (cache !== null && cache.array === null) {
    rows.push(['-', cache.device, 'cache', cache.health, '', '', '']);
  } else if (cache !== null) {
    rows.push(['cache', cache.array!.level, '', cache.health, '', '', '']);
    rows.push(...memberRows(cache.array!, 'cache:'));
  }
  const align: Align[] = ['right', 'left', 'left', 'left', 'right', 'right', 'left'];
  return table(rows, { align, indent: '   ' });
}

function memberRows({ members, spares }: ArrayStatus, slotPrefix: string): string[][] {
  const rows = members.map((member) => [
    `${slotPrefix}${member.slot}`,
    member.device ?? '-',
    'member',
    member.health,
    countText(member.read_errors),
    countText(member.write_errors),
    repairedText(member.repaired_blocks),
  ]);
  return [...rows, ...spares.map((spare) => spareRow(spare, slotPrefix))];
}

/** A spare, or the device that is being filled to replace the member of a slot. */
function spareRow({ slot, device, health }: MemberStatusDocument, slotPrefix: string): string[] {
  const where = slot === null ? '-' : `${slotPrefix}${slot}`;
  const role = slot === null ? 'spare' : 'target';
  return [where, device ?? '-', role, health === 'spare' ? 'ok' : health, '', '', ''];
}

function repairedText(blocks: number | null): string {
  return blocks === null || blocks === 0 ? '' : `${formatCount(blocks)} repaired`;
}

function countText(count: number | null): string {
  return count === null ? '-' : formatCount(count);
}

function ioTable(io: NonNullable<StatusDocument['io']>): string[] {
  const rows: string[][] = [['', 'OPERATIONS', 'DATA', 'P50', 'P99', 'P99.9']];
  for (const kind of ['read', 'write', 'flush', 'trim'] as const) {
    const { ios, bytes, p50_us, p99_us, p999_us } = io[kind];
    const times = [p50_us, p99_us, p999_us].map((us) => (us === null ? '-' : formatLatency(us)));
    rows.push([kind, formatCount(ios), kind === 'flush' ? '' : formatSize(bytes), ...times]);
  }
  const align: Align[] = ['right', 'right', 'right', 'right', 'right', 'right'];
  return table(rows, { align, indent: '   ' });
}

/** That of the mirror under the NV cache where the stack's own array has none. */
function stackActivity({ activity, cache }: StatusDocument): string {
  const mirrors = cache?.activity ?? IDLE;
  if (activity.kind !== 'idle' || mirrors.kind === 'idle') return activityText(activity);
  return `cache ${activityText(mirrors)}`;
}

export function listText(stacks: readonly StatusDocument[]): string {
  if (stacks.length === 0) return 'no stacks are known; make one with bandstand create';
  const rows = [['NAME', 'HEALTH', 'ACTIVITY', 'SIZE', 'LEVEL', 'EXPORTS']];
  for (const stack of stacks) {
    rows.push([
      stack.name,
      stack.health,
      stack.server === null ? '-' : stackActivity(stack),
      stack.size_bytes === null ? '-' : formatSize(stack.size_bytes),
      stack.array?.level ?? '-',
      stack.exports.map((one) => one.address).join(' ') || '-',
    ]);
  }
  return table(rows).join('\n');
}

export function listRecords(stacks: readonly StatusDocument[]): (string | number | null)[][] {
  return stacks.map((stack) => [
    stack.name,
    stack.health,
    stack.server === null ? null : stack.activity.kind,
    stack.size_bytes,
    stack.array?.level ?? null,
    stack.exports.map((one) => one.address).join(' ') || null,
  ]);
}

/** 0, or with --exit-code the worst health of the stacks shown. */
export function healthExitStatus(stacks: readonly StatusDocument[]): number {
  if (stacks.some((stack) => stack.health === 'failed')) return 4;
  if (stacks.some((stack) => stack.health === 'degraded')) return 3;
  if (stacks.some((stack) => stack.health === 'stopped')) return 5;
  return 0;
}
