/**
 * Attaching an NV cache to a running stack, and detaching it.                       (control plane)
 *
 * Both are safe at every step. Attach: the ring is made while the stack is in use; then operations
 * wait for a moment, what was answered is flushed, because the cache knows nothing of it, the FTL
 * names the cache, and operations go on through it. Detach: the ring is drained while the stack is
 * in use; then operations wait until it is empty, and the FTL forgets it. A device that the FTL
 * does not name is nobody's, whatever it says.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { makeUuid } from '../block/uuid.ts';
import type { CacheReply, CacheRequest } from '../control/schema-members.ts';
import type { MeterDevice } from '../device/meter-device.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import { cacheBlocksOf, createCache, wipeCache } from '../nv-cache/create-cache.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { Ring } from '../reactor/ring.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import { identifyDevice } from './device-usage.ts';
import { cacheLostAction } from './layer-words.ts';
import type { LogLayers } from './log-layers.ts';
import { cannot, eraseHint, parseNewDevice, refuseUsed } from './new-device.ts';
import { readEnds } from './open-new-member.ts';
import { stableDevicePath } from './remember-members.ts';
import { findSignatures } from './signatures.ts';
import type { StackEvent } from './worker-messages.ts';

export function attachSubject(name: string, device: string): string {
  return `attach ${device} to ${name} as NV cache`;
}

export interface StackCacheHost {
  readonly ring: Ring;
  readonly name: string;
  readonly readOnly: boolean;
  /** Null without an FTL. */
  log(): LogLayers | null;
  /** What the user of the stack sees. */
  top(): MeterDevice;
  emit(event: StackEvent): void;
}

export class StackCache {
  readonly #host: StackCacheHost;

  constructor(host: StackCacheHost) {
    this.#host = host;
  }

  /** Throws a BandstandError that says what could not be done; then nothing has changed. */
  async change(request: CacheRequest): Promise<CacheReply> {
    return request.device === null
      ? await this.#detach(request.dry_run)
      : await this.#attach(request.device, request.dry_run);
  }

  async #attach(text: string, dryRun: boolean): Promise<CacheReply> {
    const { name } = this.#host;
    const subject = attachSubject(name, text);
    const log = this.#writable(subject, this.#host.log());
    if (log.cache !== null) {
      throw cannot(
        subject,
        'BANDSTAND_CACHE_PRESENT',
        `it has one, ${log.cacheDevice}`,
        `detach that first: bandstand cache detach ${name}`,
      );
    }
    const { device, path } = await this.#openUnused(subject, text);
    const sizeBytes = device.geometry.blockCount * device.geometry.blockBytes;
    const reply = { action: 'attach', device: path, size_bytes: sizeBytes } as const;
    try {
      cacheBlocksOf(device);
      if (!dryRun) await this.#join(log, device, path);
    } catch (error) {
      await device.close();
      throw error;
    }
    if (dryRun) await device.close();
    else this.#tellChanged(log);
    return { ...reply, dry_run: dryRun, undrained_bytes: 0 };
  }

  async #join(log: LogLayers, device: BlockDevice, path: string): Promise<void> {
    const { ring } = this.#host;
    const uuid = makeUuid();
    await createCache(ring, device, { uuid, owner: log.uuid });
    await this.#host.top().replaceLower(async (before) => {
      await flushDevice(before);
      return await log.attach(ring, { device, path, uuid });
    });
  }

  async #detach(dryRun: boolean): Promise<CacheReply> {
    const { name, ring } = this.#host;
    const subject = `detach the NV cache of ${name}`;
    const log = this.#writable(subject, this.#host.log());
    const { cache } = log;
    if (cache === null) {
      const hint = `give it one: bandstand cache attach ${name} DEVICE`;
      throw cannot(subject, 'BANDSTAND_CACHE_NOT_FOUND', 'it has none', hint);
    }
    const status = cache.status()!;
    const reply: CacheReply = {
      action: 'detach',
      dry_run: dryRun,
      device: log.cacheDevice!,
      size_bytes: status.ring_blocks * CACHE_BLOCK_BYTES,
      undrained_bytes: status.undrained_blocks * CACHE_BLOCK_BYTES,
    };
    if (dryRun) return reply;
    this.#refuseFailed(subject, log);
    this.#refuseLost(subject, cache);
    // Most of it while the stack is in use.
    if (status.state === 'online') await cache.drainAll();
    let left: NvCache | null = null;
    await this.#host.top().replaceLower(async () => {
      if (!(await cache.detach())) {
        this.#refuseFailed(subject, log);
        throw this.#cannotDrain(subject);
      }
      // Reading it to the end may have shown what it cannot give any more.
      this.#refuseLost(subject, cache);
      left = await log.detach();
      return log.device;
    });
    this.#tellChanged(log);
    await this.#dismiss(ring, left!);
    return reply;
  }

  /** Nobody refers to the device any more. */
  async #dismiss(ring: Ring, { cache }: NvCache): Promise<void> {
    try {
      await wipeCache(ring, cache);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      const message = `${cache.name} still has the header of an NV cache: ${error.message}`;
      this.#host.emit({ event: 'warning', message });
    } finally {
      await cache.close();
    }
  }

  #writable(subject: string, log: LogLayers | null): LogLayers {
    const { name, readOnly } = this.#host;
    if (log === null) {
      const hint = 'create the stack with --ftl';
      throw cannot(subject, 'BANDSTAND_CACHE_UNSUITABLE', 'it has no FTL', hint);
    }
    if (readOnly || log.ftl.readOnlyReason !== null) {
      const hint = `start it for writing: bandstand stop ${name}, bandstand export ${name}`;
      throw cannot(subject, 'BANDSTAND_STACK_READ_ONLY', 'it is only read', hint);
    }
    return log;
  }

  /** Nothing can be written back, nor written again. */
  #refuseFailed(subject: string, log: LogLayers): void {
    const { device, health, lost_blocks: count, reason } = log.document()!;
    if (health !== 'failed') return;
    const why = reason ?? 'it has failed';
    const hint = cacheLostAction(this.#host.name, device);
    throw cannot(subject, 'BANDSTAND_CACHE_UNREADABLE', why, hint, { lost_blocks: count });
  }

  /** Without the cache nothing would say that these blocks are lost. */
  #refuseLost(subject: string, cache: NvCache): void {
    const { lost_blocks: count } = cache.status()!;
    if (count === 0) return;
    const why = `${count} blocks were lost with it, and their older copies would show`;
    const hint = 'write these blocks again first; status names them';
    throw cannot(subject, 'BANDSTAND_CACHE_UNREADABLE', why, hint, { lost_blocks: count });
  }

  #cannotDrain(subject: string): BandstandError {
    const why = 'what it holds cannot be written back';
    const hint = 'look at the members and the kernel log (dmesg)';
    return cannot(subject, 'BANDSTAND_FTL_READ_ONLY', why, hint);
  }

  async #openUnused(subject: string, text: string) {
    const { ring } = this.#host;
    const { path, spec } = parseNewDevice(subject, text);
    refuseUsed(subject, identifyDevice(path));
    const device = makeLeaf(spec, { deadlineUs: MEMBER_DEADLINE_US });
    try {
      await device.open(ring);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      const { code, details, hint, message } = error;
      const why = code === 'BANDSTAND_DEVICE_BUSY' ? 'another program uses it' : message;
      throw cannot(subject, code, why, hint ?? 'name a different device', details);
    }
    try {
      const [found] = findSignatures(await readEnds(ring, device));
      if (found === undefined) return { device, path };
      const hint = eraseHint(found.kind, path);
      const details = { device: path, holds: found.kind };
      throw cannot(
        subject,
        'BANDSTAND_DEVICE_IN_USE',
        `it holds ${found.description}`,
        hint,
        details,
      );
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  #tellChanged(log: LogLayers): void {
    this.#host.emit({ event: 'cache-changed', cache: log.remembered(stableDevicePath) });
  }
}
