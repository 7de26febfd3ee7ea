/**
 * From a status document to what a screen shows, without saying how that looks.    (user interface)
 *
 * One line of thought: is my data safe, what goes on, how is each part. All readers of it (panes,
 * the small screens, lines without a terminal, sentences for a screen reader) say the same. Keys
 * that a server of another version does not send are not shown.
 */

import { formatCount, formatEstimate, formatSize } from '../block/quantities.ts';
import type {
  ActivityStatus,
  ArrayStatus,
  CacheStatusDocument,
  FtlStatusDocument,
  Health,
  MemberStatusDocument,
  StatusDocument,
} from '../control/schema.ts';
import type { Tone } from './spans.ts';

export const BLOCK_BYTES = 4096;

export interface ActivityView {
  /** `rebuild of slot 2`, `cache resync`. */
  readonly title: string;
  /** `rebuild`, `cache resync`. */
  readonly short: string;
  readonly kind: ActivityStatus['kind'];
  /** From 0 to 1; null when nobody knows how much there is to do. */
  readonly share: number | null;
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
  /** `612 MiB/s`; null when it is not known, or stands still. */
  readonly rate: string | null;
  /** `~59 min`, `estimating`, `stalled`, `paused`. */
  readonly eta: string | null;
  readonly isWaiting: boolean;
  readonly limit: string;
  /** What it has found: `3 blocks disagreed`. */
  readonly findings: readonly string[];
}

/** A row of the tree; those that have a key can be chosen. */
export interface TreeRow {
  readonly key: string | null;
  /** Indentation, and whether it is the last one below its parent. */
  readonly depth: number;
  readonly isLast: boolean;
  /** `ftl`, `raid1`, or of a member its slot. */
  readonly label: string;
  readonly device: string | null;
  readonly health: string | null;
  readonly tone: Tone;
  readonly notes: readonly string[];
  readonly member: MemberStatusDocument | null;
  readonly ofCache: boolean;
}

export interface StackView {
  readonly name: string;
  readonly health: Health;
  readonly healthTone: Tone;
  /** `UU_U`: what is in service, slot by slot; null without an array. */
  readonly slots: string | null;
  readonly reason: string | null;
  readonly action: string | null;
  /** Commands in `action`, as they are typed. */
  readonly commands: readonly string[];
  readonly exports: readonly string[];
  readonly size: string | null;
  readonly rows: readonly TreeRow[];
  /** What goes on: of the stack, then of the mirror under its cache. */
  readonly activities: readonly ActivityView[];
  /** It has a server. */
  readonly isRunning: boolean;
}

export function stackView(status: StatusDocument): StackView {
  const { action, array, exports, health, size_bytes: size } = status;
  const mirrors = status.cache?.activity ?? null;
  const activities = [activityView(status.activity, '')];
  if (mirrors !== null) activities.push(activityView(mirrors, 'cache '));
  return {
    name: status.name,
    health,
    healthTone: healthTone(health),
    slots: array === null ? null : slotString(array),
    reason: status.reason,
    action,
    commands: commandsIn(action),
    exports: exports.map((one) => {
      const grown = one.size_bytes === size ? '' : ` (export ${formatSize(one.size_bytes)})`;
      return `${one.address}${grown}${one.read_only ? ', read-only' : ''}`;
    }),
    size: size === null ? null : formatSize(size),
    rows: treeRows(status),
    activities: activities.filter(({ kind }) => kind !== 'idle'),
    isRunning: status.server !== null,
  };
}

export function healthTone(health: Health): Tone {
  if (health === 'healthy') return 'good';
  if (health === 'failed') return 'bad';
  return health === 'degraded' ? 'warn' : 'dim';
}

/** `U` in service, `r` being filled, `_` not in service. */
function slotString({ members }: ArrayStatus): string {
  return members
    .map(({ health }) => (health === 'ok' ? 'U' : health === 'rebuilding' ? 'r' : '_'))
    .join('');
}

/** What a sentence of advice says is to be typed. */
export function commandsIn(action: string | null): string[] {
  const found = (action ?? '').match(/\bbandstand [^;,]+/g) ?? [];
  return found.map((command) => command.trim());
}

// --- activities ---------------------------------------------------------------------------------

export function activityView(activity: ActivityStatus, prefix: string): ActivityView {
  const { done_bytes: done, kind, member_slot: slot, pace, step, total_bytes: total } = activity;
  const where = slot === null ? '' : ` of slot ${prefix === '' ? '' : 'cache:'}${slot}`;
  const { eta_seconds: eta, limit_bytes_per_second: limit, rate_bytes_per_second: rate } = activity;
  return {
    title: `${prefix}${kind}${where}${step === null ? '' : `, ${step}`}`,
    short: `${prefix}${kind}`,
    kind,
    share: shareOf(done, total),
    doneBytes: done,
    totalBytes: total,
    rate: rate === null || rate === 0 ? null : `${formatSize(rate)}/s`,
    eta: pace === 'running' ? (eta === null ? null : `~${formatEstimate(eta)}`) : pace,
    isWaiting: pace === 'paused' || pace === 'stalled',
    limit: limit === null ? 'automatic' : `${formatSize(limit)}/s`,
    findings: [
      ...countOf(activity.mismatched_blocks, 'disagreed'),
      ...countOf(activity.repaired_blocks, 'repaired'),
      ...countOf(activity.lost_blocks, 'lost'),
    ],
  };
}

/** Never above 1. Nothing to do is all done. */
export function shareOf(done: number | null, total: number | null): number | null {
  if (done === null || total === null) return null;
  return total === 0 ? 1 : Math.min(1, done / total);
}

/** `41.0 %`; 100.0 only for all of it. */
export function percentText(share: number): string {
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

function countOf(blocks: number | null | undefined, what: string): string[] {
  return blocks == null || blocks === 0 ? [] : [`${blocksText(blocks)} ${what}`];
}

export function blocksText(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}

// --- the tree -----------------------------------------------------------------------------------

type Node = Omit<TreeRow, 'depth' | 'isLast'>;

const PART: Omit<Node, 'label' | 'tone' | 'notes'> = {
  key: null,
  device: null,
  health: null,
  member: null,
  ofCache: false,
};

/** FTL, NV cache, array; what is behind it is one step further in. */
function treeRows(status: StatusDocument): TreeRow[] {
  const { array, cache, ftl } = status;
  const parts: (readonly [Node, readonly Node[]])[] = [];
  if (cache !== null) parts.push([cacheNode(cache), memberNodes(cache.array, true)]);
  if (array !== null) parts.push([arrayNode(array), memberNodes(array, false)]);
  const rows: TreeRow[] = [];
  const base = ftl === null ? 0 : 1;
  if (ftl !== null) rows.push({ ...ftlNode(ftl), depth: 0, isLast: true });
  parts.forEach(([part, members], at) => {
    rows.push({ ...part, depth: base, isLast: at === parts.length - 1 });
    members.forEach((member, index) => {
      rows.push({ ...member, depth: base + 1, isLast: index === members.length - 1 });
    });
  });
  return rows;
}

function ftlNode(ftl: FtlStatusDocument): Node {
  const { bands, valid_blocks, write_amplification } = ftl;
  const notes = [
    `${formatSize(valid_blocks * BLOCK_BYTES)} used`,
    `${formatCount(bands.free)} of ${formatCount(bands.total)} bands free`,
  ];
  if (write_amplification !== null) {
    notes.push(`write amplification ${write_amplification.toFixed(2)}`);
  }
  const bad = countOf(ftl.unreadable_blocks, 'right nowhere');
  const wrong = ftl.wrong_checksums;
  if (wrong > 0) {
    notes.unshift(`${formatCount(wrong)} wrong checksums, ${ftl.repaired_checksums} mended`);
  }
  notes.unshift(...bad);
  const tone = bad.length > 0 ? 'bad' : wrong > 0 ? 'warn' : 'plain';
  return { ...PART, label: 'ftl', tone, notes };
}

function cacheNode(cache: CacheStatusDocument): Node {
  const { array, health, undrained_bytes: undrained, used_bytes: used } = cache;
  const notes: string[] = [cache.state];
  if (used !== null && cache.size_bytes !== null) {
    notes.push(`${formatSize(used)} of ${formatSize(cache.size_bytes)} in use`);
  }
  if (undrained !== null && undrained > 0) notes.push(`${formatSize(undrained)} not drained`);
  notes.unshift(...countOf(cache.lost_blocks, 'lost'));
  const bad = health === 'failed' || cache.lost_blocks > 0;
  const tone = bad ? 'bad' : health === 'ok' ? 'good' : 'warn';
  const device = array === null ? cache.device : null;
  const label = array === null ? 'nv cache' : `nv cache, ${array.level}`;
  return { ...PART, label, device, health, tone, notes, ofCache: true };
}

function arrayNode({ level, spares, strip_size_bytes: strip }: ArrayStatus): Node {
  const notes: string[] = [];
  if (strip !== null) notes.push(`strip ${formatSize(strip)}`);
  const ready = spares.filter(({ health }) => health === 'spare').length;
  if (ready > 0) notes.push(`${ready} ${ready === 1 ? 'spare' : 'spares'}`);
  return { ...PART, label: level, tone: 'plain', notes };
}

const MEMBER_TONES: Readonly<Record<MemberStatusDocument['health'], Tone>> = {
  ok: 'good',
  rebuilding: 'busy',
  failed: 'bad',
  missing: 'bad',
  spare: 'plain',
};

function memberNodes(array: ArrayStatus | null, ofCache: boolean): Node[] {
  if (array === null) return [];
  const { members, spares } = array;
  return [
    ...members.map((member) => memberNode(member, 'member', ofCache)),
    // One with a slot is filled to replace the member that is still there.
    ...spares.map((one) => memberNode(one, one.slot === null ? 'spare' : 'target', ofCache)),
  ];
}

function memberNode(
  member: MemberStatusDocument,
  role: 'member' | 'spare' | 'target',
  ofCache: boolean,
): Node {
  const { device, health, slot, uuid } = member;
  const notes = [
    ...errorsOf(member.read_errors, 'read'),
    ...errorsOf(member.write_errors, 'write'),
    ...countOf(member.repaired_blocks, 'repaired'),
  ];
  if (role === 'target') notes.unshift(`replaces slot ${slot}`);
  // What was read wrong and put right is worth a look, and no failure.
  const tone = notes.length > 0 && health === 'ok' ? 'warn' : MEMBER_TONES[health];
  const where = role === 'member' ? String(slot) : role;
  return {
    key: `${ofCache ? 'cache ' : ''}${role} ${slot ?? uuid ?? device}`,
    label: where,
    device: device ?? '-',
    health: health === 'spare' ? 'ok' : health,
    tone,
    notes,
    member,
    ofCache,
  };
}

function errorsOf(count: number | null, kind: string): string[] {
  return count === null || count === 0
    ? []
    : [`${formatCount(count)} ${kind} ${count === 1 ? 'error' : 'errors'}`];
}
