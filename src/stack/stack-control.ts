/**
 * StackControl: the requests of clients, each to the part of the stack it is about. (control plane)
 *
 * A stack has members in its own array, and where its NV cache is a mirror in that one, too. A
 * member is found by what it is called, among both; what cannot be told so (a new device, a
 * rebuild) is the stack's own array's, unless the client says `of_cache`.
 */

import { BandstandError } from '../block/errors.ts';
import type {
  ActivityReply,
  CacheReply,
  MemberAddRequest,
  MemberCall,
  MemberChangeRequest,
  MemberReply,
  RebuildRequest,
} from '../control/schema-members.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { AbsentSpare } from './absent-spares.ts';
import { ArrayControl, type ManagedPart } from './array-control.ts';
import { MIRROR_SLOT_PREFIX, stackWords } from './array-words.ts';
import { keyOf } from './find-members.ts';
import { resolveMember } from './member-reference.ts';
import { cannot } from './new-device.ts';
import { StackCache, type StackCacheHost } from './stack-cache.ts';
import type { StackMembers, StackMembersHost } from './stack-members.ts';
import type { StackProcesses } from './stack-processes.ts';

export type StackControlHost = Omit<StackMembersHost, 'words'> & StackCacheHost;

export class StackControl {
  readonly #host: StackControlHost;
  readonly #cache: StackCache;
  /** Of the stack's own array. */
  readonly #own: ArrayControl;

  constructor(host: StackControlHost) {
    this.#host = host;
    this.#cache = new StackCache(host);
    this.#own = new ArrayControl({ ...host, words: stackWords(host.name) });
  }

  get members(): StackMembers {
    return this.#own.members;
  }

  get processes(): StackProcesses {
    return this.#own.processes;
  }

  /** What the manager of the stack's own array tells; called from a reactor turn. */
  arrayEvent(event: ArrayEvent): void {
    this.#own.arrayEvent(event);
  }

  get absentSpares(): readonly AbsentSpare[] {
    return this.#own.absentSpares;
  }

  /** Of the stack's own array; null without a manager. `why`: why a slot was out at the start. */
  status(why: (slot: number) => string | null): ManagedPart | null {
    return this.#own.status(why);
  }

  /** Throws a BandstandError that says what could not be done; then nothing has changed. */
  async change({ method, request }: MemberCall): Promise<MemberReply | ActivityReply | CacheReply> {
    switch (method) {
      case 'member-add':
        return await this.#addMember(request);
      case 'member-fail':
        return await this.#membersWith('fail', request).failMember(request);
      case 'member-remove':
        return await this.#membersWith('remove', request).removeMember(request);
      case 'member-replace':
        return await this.#membersWith('replace', request).replaceMember(request);
      case 'rebuild':
        return await this.#rebuildOf(request).processes.controlRebuild(request);
      case 'check':
        return await this.processes.controlCheck(request);
      case 'cache':
        return await this.#cache.change(request);
    }
  }

  /** Null unless the NV cache is a mirror. */
  get #mirror(): ArrayControl | null {
    return this.#host.log()?.mirror?.control ?? null;
  }

  /** A device that is known in the mirror, or says that it was a member there, comes back there. */
  async #addMember(request: MemberAddRequest): Promise<MemberReply> {
    if (request.of_cache) {
      const subject = `add ${request.device} to the NV cache of ${this.#host.name}`;
      return await this.#mirrorFor(subject).members.addMember(request);
    }
    const mirror = this.#mirror;
    if (mirror?.members.knows(request.device) === true) {
      return await mirror.members.addMember(request);
    }
    try {
      return await this.members.addMember(request);
    } catch (error) {
      if (mirror === null || !(error instanceof BandstandError)) throw error;
      if (error.details['array_uuid'] !== mirror.members.arrayUuid) throw error;
      return await mirror.members.addMember(request);
    }
  }

  /** Those among whom the member is. Throws what `resolveMember` throws. */
  #membersWith(verb: string, request: MemberChangeRequest): StackMembers {
    const mirror = this.#mirror;
    if (mirror === null) return this.members;
    const all = [...this.members.candidates(), ...mirror.members.candidates()];
    const found = resolveMember({ verb, name: this.#host.name }, request, all, keyOf);
    return found.slotPrefix === MIRROR_SLOT_PREFIX ? mirror.members : this.members;
  }

  /** Without another word the array that has something to control, the stack's own one first. */
  #rebuildOf({ of_cache }: RebuildRequest): ArrayControl {
    if (of_cache) return this.#mirrorFor(`control the rebuild of the cache of ${this.#host.name}`);
    const mirror = this.#mirror;
    if (mirror === null || this.#own.processes.hasRebuild) return this.#own;
    return mirror.processes.hasRebuild ? mirror : this.#own;
  }

  #mirrorFor(subject: string): ArrayControl {
    const mirror = this.#mirror;
    if (mirror !== null) return mirror;
    const { name } = this.#host;
    const attach = `bandstand cache attach ${name} DEVICE DEVICE`;
    const isSingle = this.#host.log()?.cache != null;
    throw cannot(
      subject,
      'BANDSTAND_CACHE_NOT_FOUND',
      isSingle ? 'it is one device, and no mirror' : `${name} has no NV cache`,
      isSingle
        ? `detach it (bandstand cache detach ${name}), then attach two: ${attach}`
        : `give it one of two devices: ${attach}`,
      { name },
    );
  }
}
