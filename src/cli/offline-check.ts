/**
 * `bandstand check` of a stack that does not run: looks by itself, and tells what it found.
 *                                                                                 (control plane)
 * The command is the whole of it: it ends when everything has been seen, and its exit status says
 * what was found.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import { formatCount } from '../block/quantities.ts';
import { parseUuid } from '../block/uuid.ts';
import { bufferFile } from '../stack/buffer-file.ts';
import { absolutePaths, formatDeviceSpec, parseDeviceSpec } from '../stack/device-spec.ts';
import { examineAt } from '../stack/examine-device.ts';
import { innermostPath } from '../stack/find-members.ts';
import { findingWords, wrongWords } from '../stack/ftl-words.ts';
import { checkOffline, type OfflineReport } from '../stack/offline-check.ts';
import { withRing } from '../stack/offline-ring.ts';
import { StateStore } from '../stack/state-store.ts';
import type { StackPlan } from '../stack/worker-messages.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './command-context.ts';
import { notFound } from './known-stacks.ts';
import { MeteredWork } from './metered-work.ts';
import { arenaBytesFor } from './server-memory.ts';

/** Something is wrong and was left so, as `wait --exit-code` says it. */
const EXIT_FINDINGS = 4;
const FINDINGS_SHOWN = 20;
const BUFFER_GONE =
  'the write buffer that a killed server has left is gone: writes since the last flush may be lost, and were not looked at';

/** What is to be assembled; `name` is null where only devices are given. */
export async function offlinePlan(
  context: CommandContext,
  name: string | null,
  given: readonly string[],
): Promise<StackPlan> {
  const devices = given.map((device) => formatDeviceSpec(absolutePaths(parseDeviceSpec(device))));
  const known = name ?? (await nameOn(devices[0]!));
  const remembered = new StateStore(context.directories.stateDir).load(known);
  if (remembered === null && devices.length === 0) {
    const otherwise = `name a device for each member: bandstand check ${known} --device PATH`;
    throw notFound(context.directories, known, otherwise);
  }
  if (remembered?.superblock === false) {
    throw new BandstandError('BANDSTAND_ARRAY_UNRECORDED', {
      message: `cannot check ${known} while it is stopped: it has no superblock that says what belongs to it`,
      hint: 'compare what is on it with a backup',
      details: { name: known },
    });
  }
  const uuid = remembered === null ? null : parseUuid(remembered.uuid);
  return { name: known, uuid, devices, remembered, degraded: true, readOnly: true };
}

/** The name of the array that the device is a member of. */
async function nameOn(device: string): Promise<string> {
  const path = innermostPath(parseDeviceSpec(device)) ?? device;
  const { examination } = await withRing((ring) => examineAt(ring, path));
  const found = examination.superblock.value?.name;
  if (found !== undefined) return found;
  throw new BandstandError('BANDSTAND_ARRAY_NOT_FOUND', {
    message: `cannot check what is on ${path}: it has no superblock of an array`,
    hint: `look at it: bandstand examine ${path}`,
    details: { device: path },
  });
}

export async function checkStopped(
  context: CommandContext,
  plan: StackPlan,
): Promise<CommandResult> {
  const { remembered } = plan;
  const requests = [{ via: 'nbd' as const, nbd: null, queues: null, depth: null }];
  const arenaBytes = arenaBytesFor({ remembered, requests, bufferSurvives: true });
  const watch = new MeteredWork(context, plan.name);
  const report = await withRing((ring) => checkOffline(ring, plan, watch), arenaBytes).finally(() =>
    context.progress.end(),
  );
  const notes = [...report.warnings, ...bufferNote(context, plan, report.bufferLost)];
  for (const note of notes) context.note(`note: ${note}`);
  const wrong = wrongCount(report);
  return {
    schema: 'bandstand.check/1',
    data: reportJson(report, notes),
    text: () => reportText(report),
    plain: () => [[report.name, 'offline', wrong]],
    exitStatus: wrong === 0 ? 0 : EXIT_FINDINGS,
  };
}

/** What was answered by a killed server, and is perhaps on no member yet, was not looked at. */
function bufferNote(
  { directories }: CommandContext,
  { name, remembered }: StackPlan,
  isNamed: boolean,
): string[] {
  const buffer = bufferFile({ name, remembered }, directories.runDir);
  if (buffer === null || !existsSync(buffer.path)) return isNamed ? [BUFFER_GONE] : [];
  return [
    `a killed server has left its write buffer, which was not looked at; export ${name} and stop it to have what is in it on the members`,
  ];
}

function wrongCount({ checksums, comparison }: OfflineReport): number {
  const compared = comparison === null ? 0 : comparison.mismatches + comparison.lostBlocks;
  return (checksums?.wrongCount ?? 0) + compared;
}

function reportJson(report: OfflineReport, notes: readonly string[]): Record<string, unknown> {
  const { checksums, comparison } = report;
  const compared = comparison ?? { mismatches: 0, lostBlocks: 0 };
  return {
    name: report.name,
    action: 'offline',
    repair: false,
    clean: report.clean,
    checked_blocks: checksums?.checkedBlocks ?? null,
    wrong_checksums: checksums?.wrongCount ?? null,
    compared: comparison?.complete ?? null,
    mismatched_blocks: (checksums?.wrongCount ?? 0) + compared.mismatches,
    repaired_blocks: 0,
    lost_blocks: (checksums?.lostCount ?? 0) + compared.lostBlocks,
    findings: (checksums?.wrong ?? []).map(({ part, block, band, number, outcome, slots }) => ({
      part,
      block,
      band,
      number,
      outcome,
      slots,
    })),
    notes,
  };
}

export function reportText(report: OfflineReport): string {
  const { atStart, checksums, comparison, name } = report;
  const parts: string[] = [];
  if (checksums !== null) {
    const { checkedBlocks: seen, wrongCount: wrong, lostCount } = checksums;
    const lost = lostCount === 0 ? '' : `, ${formatCount(lostCount)} of them nowhere right`;
    const all = `${formatCount(seen)} ${seen === 1 ? 'block' : 'blocks'} verified`;
    parts.push(wrong === 0 ? all : `${all}, ${wrongWords(wrong)}${lost}`);
  }
  if (comparison === null) {
    parts.push('members were not compared');
  } else {
    const { complete, lostBlocks: lost, mismatches: count } = comparison;
    parts.push(count === 0 ? 'the members agree' : `${blocks(count)} of the members disagree`);
    if (lost > 0) parts.push(`${blocks(lost)} cannot be read from any`);
    if (!complete) parts.push('not all could be compared');
  }
  const lines = [`${name}: ${parts.join('; ')}`];
  const found = [...new Set([...atStart, ...(checksums?.wrong ?? [])].map(line(name)))];
  lines.push(...found.slice(0, FINDINGS_SHOWN));
  const more = found.length - FINDINGS_SHOWN;
  if (more > 0) lines.push(`  and ${formatCount(more)} more`);
  if (wrongCount(report) > 0) {
    lines.push(`  repair it: bandstand export ${name}, then bandstand check ${name} --repair`);
  }
  return lines.join('\n');
}

function line(name: string): (finding: Parameters<typeof findingWords>[1]) => string {
  return (finding) =>
    `  ${findingWords(name, finding).message.replace(/: nothing was changed$/, '')}`;
}

function blocks(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}
