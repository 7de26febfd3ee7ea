/**
 * Rebuild, resync and check of a running stack, as its clients control them.        (control plane)
 *
 * The array runs one process at a time and decides itself when a rebuild or a resync is due.
 * Clients pause, resume, limit and cancel; a check they also start and stop. What is so already is
 * an answer, not an error. A resync cannot be cancelled: its members would stay unequal. With an
 * FTL a check begins with checksums (checksum-check.ts).
 */

import type { BandstandError } from '../block/errors.ts';
import type { ActivityStatus } from '../control/schema.ts';
import type {
  ActivityReply,
  CheckAction,
  CheckRequest,
  RebuildAction,
  RebuildRequest,
} from '../control/schema-members.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import { levelRules } from '../raid/level-rules.ts';
import { ChecksumCheck } from './checksum-check.ts';
import type { ManagedArray, ManagedProcess } from './managed-array.ts';
import { managedActivity } from './managed-status.ts';
import { cannot } from './new-device.ts';
import type { StackMembers, StackMembersHost } from './stack-members.ts';

export class StackProcesses {
  readonly #host: StackMembersHost;
  readonly #members: StackMembers;
  readonly #checksums: ChecksumCheck;
  /** What --rate set last; null = automatic. */
  #limit: number | null = null;

  constructor(host: StackMembersHost, members: StackMembers) {
    this.#host = host;
    this.#members = members;
    this.#checksums = new ChecksumCheck({
      name: host.words.stack,
      ftl: () => host.ftl(),
      keep: (work) => host.ring.keep(work),
      emit: (event) => members.arrayEvent(event),
      compare: async (repair) => {
        const subject = `compare the members of ${host.words.stack}`;
        this.#refuseSingle(subject);
        members.refuseReadOnly(subject);
        await host.manager()!.startCheck({ repair });
      },
    });
  }

  /** A rebuild or a resync is running, or paused. */
  get hasRebuild(): boolean {
    const process = this.#host.manager()?.status().process ?? null;
    return process !== null && process.kind !== 'check';
  }

  /** An event of the array as clients see it; null for none. */
  arrayEvent(event: ArrayEvent): ArrayEvent | null {
    return this.#checksums.arrayEvent(event);
  }

  activity(process: ManagedProcess | null): ActivityStatus {
    return this.#checksums.activity(managedActivity(process));
  }

  async controlRebuild(request: RebuildRequest): Promise<ActivityReply> {
    const { option, stack: name, whole } = this.#host.words;
    const { action } = request;
    if (action === 'show') {
      const shown = this.#members.managed(`show the rebuild of ${whole}`);
      return this.#reply(action, shown, false);
    }
    const manager = this.#members.changeable(`control the rebuild of ${whole}`);
    if (action === 'rate') return this.#setRate(manager, request.rate_bytes_per_second);
    const { process } = manager.status();
    if (process === null || process.kind === 'check') {
      const hint = `look at what it does: bandstand status ${name}`;
      throw this.#none(`${action} the rebuild of ${whole}`, 'no rebuild is running', hint);
    }
    if (action !== 'cancel') return await this.#pauseOrResume(action, manager, process);
    if (process.kind === 'resync') {
      throw cannot(
        `cancel the resync of ${whole}`,
        'BANDSTAND_ACTIVITY_BUSY',
        'its members would stay unequal',
        `pause it: bandstand rebuild ${name} --pause${option}`,
        { name },
      );
    }
    await manager.cancelProcess();
    this.#members.rebuildsHeld = true;
    return this.#reply(action, manager, true, process);
  }

  async controlCheck({ action, repair, dry_run }: CheckRequest): Promise<ActivityReply> {
    const { stack: name } = this.#host.words;
    if (action === 'start') return await this.#startCheck(repair, dry_run);
    if (this.#checksums.progress !== null) {
      const before = this.activity(null);
      const changed = this.#checksums.act(action);
      return this.#replyWith(action, changed, action === 'stop' ? before : this.activity(null));
    }
    const manager = this.#members.managed(`${action} the check of ${name}`);
    const { process } = manager.status();
    if (process?.kind !== 'check') {
      const hint = `start one: bandstand check ${name}`;
      throw this.#none(`${action} the check of ${name}`, 'no check is running', hint);
    }
    if (action !== 'stop') return await this.#pauseOrResume(action, manager, process);
    await manager.cancelProcess();
    return this.#reply(action, manager, true, process);
  }

  async #startCheck(repair: boolean, dryRun: boolean): Promise<ActivityReply> {
    const { stack: name } = this.#host.words;
    const subject = repair ? `check and repair ${name}` : `check ${name}`;
    if (this.#host.ftl() !== null) return this.#startChecksums(subject, repair, dryRun);
    this.#refuseSingle(subject);
    const manager = this.#members.changeable(subject);
    const { members, process } = manager.status();
    if (process?.kind === 'check' && process.repair === repair) {
      return this.#reply('start', manager, false);
    }
    if (process !== null) throw this.#busy(subject, process.kind, process.repair);
    const inService = members.filter(({ health }) => health === 'ok').length;
    const least = this.#host.spec().level === 'raid1' ? 2 : members.length;
    if (inService < least) {
      throw cannot(
        subject,
        'BANDSTAND_ARRAY_DEGRADED',
        `${inService} of ${members.length} members ${inService === 1 ? 'is' : 'are'} in use, so there is nothing to compare`,
        `make it whole first: bandstand member add ${name} DEVICE`,
        { name },
      );
    }
    if (!dryRun) await manager.startCheck({ repair });
    return { ...this.#reply('start', manager, true), dry_run: dryRun };
  }

  /** Also where members cannot be compared: each block has its checksum. */
  #startChecksums(subject: string, repair: boolean, dryRun: boolean): ActivityReply {
    if (repair) this.#members.refuseReadOnly(subject);
    const manager = this.#host.manager()!;
    const { process } = manager.status();
    const running = this.#checksums.progress ?? process;
    const kind = this.#checksums.progress === null ? process?.kind : 'check';
    const isSame = kind === 'check' && running!.repair === repair;
    if (running !== null && !isSame) throw this.#busy(subject, kind!, running.repair);
    if (!isSame && !dryRun) this.#checksums.start(repair);
    return { ...this.#reply('start', manager, !isSame), dry_run: dryRun && !isSame };
  }

  /** A level that keeps everything once has nothing to compare. */
  #refuseSingle(subject: string): void {
    const { stack: name } = this.#host.words;
    const { level, members } = this.#host.spec();
    if (levelRules(level).tolerates(members.length) > 0) return;
    throw cannot(
      subject,
      'BANDSTAND_LEVEL_REDUNDANCY',
      `${name} is ${level}, which keeps everything once, so there is nothing to compare`,
      `see what is on its members: bandstand status ${name}, then bandstand examine DEVICE`,
      { name, level },
    );
  }

  async #pauseOrResume(
    action: 'pause' | 'resume',
    manager: ManagedArray,
    process: ManagedProcess,
  ): Promise<ActivityReply> {
    const changed = process.paused !== (action === 'pause');
    if (changed && action === 'pause') await manager.pauseProcess();
    else if (changed) await manager.resumeProcess();
    return this.#reply(action, manager, changed);
  }

  #setRate(manager: ManagedArray, limit: number | null): ActivityReply {
    const before = this.#limit;
    manager.setRate(limit);
    this.#limit = limit;
    return { ...this.#reply('rate', manager, before !== limit), limit_before: before };
  }

  /** `ended`: the process as it was before it was ended. */
  #reply(
    action: RebuildAction | CheckAction,
    manager: ManagedArray,
    changed: boolean,
    ended?: ManagedProcess,
  ): ActivityReply {
    return this.#replyWith(action, changed, this.activity(ended ?? manager.status().process));
  }

  #replyWith(
    action: RebuildAction | CheckAction,
    changed: boolean,
    activity: ActivityStatus,
  ): ActivityReply {
    const limited = { ...activity, limit_bytes_per_second: this.#limit };
    return { action, dry_run: false, changed, activity: limited, limit_before: null };
  }

  #none(subject: string, why: string, hint: string): BandstandError {
    const { stack: name } = this.#host.words;
    return cannot(subject, 'BANDSTAND_ACTIVITY_NONE', why, hint, { name });
  }

  #busy(subject: string, kind: ManagedProcess['kind'], repair: boolean): BandstandError {
    const { stack: name } = this.#host.words;
    const what = kind === 'check' ? `a check ${repair ? 'with' : 'without'} repair` : `a ${kind}`;
    const hint =
      kind === 'check'
        ? `stop it first: bandstand check ${name} --stop`
        : `wait for it: bandstand wait ${name} --for ${kind}`;
    return cannot(subject, 'BANDSTAND_ACTIVITY_BUSY', `${what} is running`, hint, { name, kind });
  }
}
