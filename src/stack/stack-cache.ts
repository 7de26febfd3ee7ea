/**
 * Attaching an NV cache to a running stack, and detaching it.                       (control plane)
 *
 * Both are safe at every step. Attach: the ring is made while the stack is in use; then operations
 * wait for a moment, what was answered is flushed, because the cache knows nothing of it, the FTL
 * names the cache, and operations go on through it. Detach: the ring is drained while the stack is
 * in use; then operations wait until it is empty, and the FTL forgets it. A device that the FTL
 * does not name is nobody's, whatever it says; one that it may name stays as it is, until a start
 * has found out.
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
import { type CacheBase, closeCacheBase, wipeMirrorDevices } from './cache-base.ts';
import { CacheMirror } from './cache-mirror.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import { identifyDevice } from './device-usage.ts';
import { cacheLostAction } from './layer-words.ts';
import type { LogLayers } from './log-layers.ts';
import { MIRROR_BLOCK_BYTES, makeMirror, planMirror } from './make-mirror.ts';
import { cannot, eraseHint, parseNewDevice, refuseUsed } from './new-device.ts';
import { readEnds } from './open-new-member.ts';
import { stableDevicePath } from './remember-members.ts';
import { findSignatures } from './signatures.ts';
import type { StackEvent } from './worker-messages.ts';

export function attachSubject(name: string, device: string): string {
  return `attach ${device} to ${name} as NV cache`;
}

interface Opened {
  readonly device: BlockDevice;
  /** As it was named: a specification, with filters perhaps. */
  readonly text: string;
  readonly path: string;
}

async function closeAll(opened: readonly Opened[]): Promise<void> {
  for (const { device } of opened) await device.close();
}

/** A cache that is not there yet. */
interface NewPart {
  readonly device: string;
  readonly sizeBytes: number;
  /** Makes it, and operations go through it. Throws BandstandError; then nothing has changed. */
  join(): Promise<void>;
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
  async change({ action, devices, dry_run }: CacheRequest): Promise<CacheReply> {
    return action === 'detach' ? await this.#detach(dry_run) : await this.#attach(devices, dry_run);
  }

  async #attach(texts: readonly string[], dryRun: boolean): Promise<CacheReply> {
    const { name } = this.#host;
    const subject = attachSubject(name, texts.join(' and '));
    const log = this.#writable(subject, this.#host.log());
    if (log.base !== null) {
      throw cannot(
        subject,
        'BANDSTAND_CACHE_PRESENT',
        `it has one, ${log.base.name}`,
        `detach that first: bandstand cache detach ${name}`,
      );
    }
    const uuid = makeUuid();
    const opened = await this.#openAll(subject, texts);
    try {
      const devices = opened.map(({ path }) => path);
      const made =
        opened.length > 1
          ? this.#mirrorPart(log, uuid, opened)
          : this.#devicePart(log, uuid, opened[0]!);
      const { device, sizeBytes } = made;
      if (!dryRun) {
        await made.join();
        this.#tellChanged(log);
      }
      if (dryRun) await closeAll(opened);
      const about = { device, devices, size_bytes: sizeBytes };
      return { action: 'attach', dry_run: dryRun, ...about, undrained_bytes: 0 };
    } catch (error) {
      await closeAll(opened);
      const isUndecided = error instanceof BandstandError && log.mayName(uuid);
      throw isUndecided ? this.#undecided(subject, error) : error;
    }
  }

  /** It has failed at a moment at which the FTL may name the cache all the same. */
  #undecided(subject: string, { code, details, message }: BandstandError): BandstandError {
    const { name } = this.#host;
    const why = `${message}; only the next start can tell whether ${name} has it now`;
    const hint = `leave it as it is, and start anew: bandstand stop ${name}, bandstand export ${name}`;
    return cannot(subject, code, why, hint, details);
  }

  /** Throws BANDSTAND_CACHE_UNSUITABLE. */
  #devicePart(log: LogLayers, uuid: string, { device, path }: Opened): NewPart {
    cacheBlocksOf(device);
    const { blockBytes, blockCount } = device.geometry;
    const join = async (): Promise<void> => {
      await createCache(this.#host.ring, device, { uuid, owner: log.uuid });
      await this.#join(log, { device, name: path, uuid, mirror: null });
    };
    return { device: path, sizeBytes: blockCount * blockBytes, join };
  }

  /** Throws BANDSTAND_DEVICE_TOO_SMALL and what else keeps two devices from being mirrored. */
  #mirrorPart(log: LogLayers, uuid: string, opened: readonly Opened[]): NewPart {
    const { name: stack, ring } = this.#host;
    const devices = opened.map(({ device }) => device);
    const plan = planMirror(stack, uuid, devices);
    const texts = opened.map(({ text }) => text);
    const search = { name: plan.name, uuid, devices: texts, remembered: null, degraded: false };
    const emit = (event: StackEvent): void => this.#host.emit(event);
    const join = async (): Promise<void> => {
      await makeMirror(ring, plan, devices, { owner: log.uuid, overwrite: [] });
      let mirror: CacheMirror | null = null;
      try {
        mirror = await CacheMirror.open({
          ring,
          stack,
          search,
          wanted: null,
          readOnly: false,
          emit,
        });
        await this.#join(log, { device: mirror.device, name: plan.name, uuid, mirror });
      } catch (error) {
        await mirror?.close().catch(() => {});
        // Nobody refers to it: what is left of it would only keep the devices from being used.
        if (!log.mayName(uuid)) await wipeMirrorDevices(ring, uuid, texts);
        throw error;
      }
    };
    return { device: plan.name, sizeBytes: plan.blockCount * plan.blockBytes, join };
  }

  async #join(log: LogLayers, base: CacheBase): Promise<void> {
    const { ring } = this.#host;
    await this.#host.top().replaceLower(async (before) => {
      await flushDevice(before);
      return await log.attach(ring, base);
    });
  }

  async #detach(dryRun: boolean): Promise<CacheReply> {
    const { name, ring } = this.#host;
    const subject = `detach the NV cache of ${name}`;
    const log = this.#writable(subject, this.#host.log());
    const { base, cache } = log;
    if (cache === null || base === null) {
      const hint = `give it one: bandstand cache attach ${name} DEVICE`;
      throw cannot(subject, 'BANDSTAND_CACHE_NOT_FOUND', 'it has none', hint);
    }
    const status = cache.status()!;
    const reply: CacheReply = {
      action: 'detach',
      dry_run: dryRun,
      device: base.name,
      devices: base.mirror === null ? [base.name] : base.mirror.paths,
      size_bytes: status.ring_blocks * CACHE_BLOCK_BYTES,
      undrained_bytes: status.undrained_blocks * CACHE_BLOCK_BYTES,
    };
    if (dryRun) return reply;
    this.#refuseFailed(subject, log);
    this.#refuseLost(subject, cache);
    // Most of it while the stack is in use.
    if (status.state === 'online') await cache.drainAll();
    await this.#host.top().replaceLower(async () => {
      if (!(await cache.detach())) {
        this.#refuseFailed(subject, log);
        throw this.#cannotDrain(subject);
      }
      // Reading it to the end may have shown what it cannot give any more.
      this.#refuseLost(subject, cache);
      await log.detach();
      return log.device;
    });
    this.#tellChanged(log);
    await this.#dismiss(ring, base);
    return reply;
  }

  /** Nobody refers to it any more. */
  async #dismiss(ring: Ring, base: CacheBase): Promise<void> {
    const warn = (message: string): void => this.#host.emit({ event: 'warning', message });
    const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        warn(`${base.name} ${what}: ${error.message}`);
      }
    };
    const paths = base.mirror?.paths ?? [];
    try {
      await attempt('still has the header of an NV cache', () => wipeCache(ring, base.device));
    } finally {
      await attempt('could not be stopped cleanly', () => closeCacheBase(base));
    }
    for (const failure of await wipeMirrorDevices(ring, base.uuid, paths)) warn(failure);
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

  /** In the order given. Throws BandstandError; then none is open. */
  async #openAll(subject: string, texts: readonly string[]): Promise<Opened[]> {
    const opened: Opened[] = [];
    const keys = new Set<string>();
    try {
      for (const text of texts) {
        const one = attachSubject(this.#host.name, text);
        const { path } = parseNewDevice(one, text);
        const { key } = identifyDevice(path);
        if (keys.has(key)) {
          const why = `${path} is given twice`;
          const hint = 'name two devices';
          throw cannot(subject, 'BANDSTAND_MEMBER_DUPLICATE', why, hint, { device: path });
        }
        keys.add(key);
        opened.push(await this.#openUnused(one, text, texts.length > 1));
      }
      return opened;
    } catch (error) {
      await closeAll(opened);
      throw error;
    }
  }

  async #openUnused(subject: string, text: string, isMirrored: boolean): Promise<Opened> {
    const { ring } = this.#host;
    const { path, spec } = parseNewDevice(subject, text);
    refuseUsed(subject, identifyDevice(path));
    const blocks = isMirrored ? { blockBytes: MIRROR_BLOCK_BYTES } : {};
    const device = makeLeaf(spec, { deadlineUs: MEMBER_DEADLINE_US, ...blocks });
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
      if (found === undefined) return { device, text, path };
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
    const cache = log.remembered(stableDevicePath);
    this.#host.emit({ event: 'cache-changed', cache, device: log.base?.name ?? null });
  }
}
