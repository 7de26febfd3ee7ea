/**
 * ServerExports: the exports of a server, from their first step to their last.      (control plane)
 *
 * A stack can be exported in several ways at once: one ublk device, and NBD at any addresses. The
 * caller does one thing after another.
 *
 * A ublk device is added, started, stopped and deleted by a helper process (ublk-helper.ts), never
 * by this one; the order is that of the driver:
 *
 *   helper: add, set parameters · worker: open, fetch all · helper: start
 *   helper: stop · worker: let go · helper: delete
 */

import type { Logger } from 'pino';
import { BandstandError } from '../block/errors.ts';
import type { ExportReply, ExportRequest, ExportStatus } from '../control/schema.ts';
import { stackPaths } from '../stack/directories.ts';
import { NbdExport } from '../stack/nbd-export.ts';
import type { StackHost } from '../stack/stack-host.ts';
import { chooseExporter, UBLK_TIMEOUT_MS } from './choose-exporter.ts';
import { type KnownExport, matchExport, wantsUblk } from './match-export.ts';
import { closeHelper } from './server-parts.ts';
import { UblkProcess } from './ublk-process.ts';
import { readUblkRecord, removeUblkRecord, writeUblkRecord } from './ublk-record.ts';

/** Requests in flight per queue of a ublk device. */
export const DEPTH_DEFAULT = 128;

export interface ServerExportsObserver {
  exported(status: ExportStatus): void;
  removing(address: string): void;
  removed(address: string): void;
  /** A client was cut off or turned away. */
  clientRefused(reason: string): void;
  /** Nobody can come in any more where it listens. */
  tlsFailed(listen: string, reason: string): void;
}

export interface ServerExportsOptions {
  /** For the first export. */
  readonly helper: Promise<UblkProcess> | null;
  readonly name: string;
  readonly runDir: string;
  readonly logger: Logger;
  readonly observer: ServerExportsObserver;
}

interface ActiveExport extends KnownExport {
  readonly request: ExportRequest;
  /** Of a ublk device. */
  readonly ublkId: number | null;
  readonly nbd: NbdExport | null;
}

/** What an exporter makes of a request. */
interface MadeExport {
  readonly active: ActiveExport;
  readonly notes: readonly string[];
}

export class ServerExports {
  readonly #options: ServerExportsOptions;
  #active: readonly ActiveExport[] = [];
  #helper: Promise<UblkProcess> | null;

  constructor(options: ServerExportsOptions) {
    this.#options = options;
    this.#helper = options.helper;
  }

  get statuses(): readonly ExportStatus[] {
    return this.#active.map(({ status }) => status);
  }

  /** What has to be asked of the next server, so that it has the same. */
  get requests(): readonly ExportRequest[] {
    return this.#active.map(({ request }) => request);
  }

  /**
   * Exports the stack, unless it is exported in that way already. Throws BandstandError; then
   * nothing is left behind, but a ublk device that waits for a server goes on waiting.
   */
  async add(host: StackHost, request: ExportRequest): Promise<ExportReply> {
    const match = matchExport(this.#active, request);
    if (match.kind === 'found') return { ...match.found.status, started: false, notes: [] };
    if (match.kind === 'other') throw this.#otherMode(match.found.status);
    const choice = await chooseExporter(request, this.#takeHelper(request));
    try {
      const { active, notes } =
        choice.helper === null
          ? await this.#addNbd(host, request)
          : await this.#addUblk(host, choice.helper, request);
      this.#active = [...this.#active, active];
      this.#options.observer.exported(active.status);
      return { ...active.status, started: true, notes: [...choice.notes, ...notes] };
    } finally {
      choice.helper?.close();
    }
  }

  /**
   * `address`: as status tells it, or where an NBD server listens, as requests tell it; null for
   * all of them. Gives the addresses of those that were there: one that is not is removed already.
   */
  async remove(host: StackHost, address: string | null): Promise<readonly string[]> {
    const { observer } = this.#options;
    const removed: string[] = [];
    for (const active of this.#active) {
      const { status, listen } = active;
      if (address !== null && status.address !== address && listen !== address) continue;
      observer.removing(status.address);
      await this.#remove(host, active);
      this.#active = this.#active.filter((one) => one !== active);
      removed.push(status.address);
      observer.removed(status.address);
    }
    return removed;
  }

  /** After the data path has left them to another server. */
  async handedOver(): Promise<void> {
    for (const { nbd } of this.#active) await nbd?.ended();
    this.#active = [];
  }

  /** The prepared one, if this request can use it; none waits longer than for the first. */
  #takeHelper(request: ExportRequest): Promise<UblkProcess> | null {
    const helper = this.#helper;
    this.#helper = null;
    if (wantsUblk(request)) return helper;
    closeHelper(helper);
    return null;
  }

  #otherMode({ address, read_only }: ExportStatus): BandstandError {
    const { name } = this.#options;
    const mode = read_only ? 'for reading only' : 'for reading and writing';
    return new BandstandError('BANDSTAND_STACK_RUNNING', {
      message: `cannot export ${name} in another way: it is exported as ${address}, ${mode}`,
      hint: `remove that export first: bandstand unexport ${name} ${address}`,
      details: { name, address },
    });
  }

  async #addNbd(host: StackHost, request: ExportRequest): Promise<MadeExport> {
    const { name, runDir, observer } = this.#options;
    const listen = request.nbd ?? `unix:${stackPaths(runDir, name).nbdSocket}`;
    const options = {
      exportName: name,
      description: `bandstand stack ${name}`,
      listen,
      readOnly: request.read_only,
      insecure: request.insecure,
    };
    const nbd = await NbdExport.start(host, options, request.tls, {
      clientRefused: (reason) => observer.clientRefused(reason),
      threadFailed: (reason) => observer.tlsFailed(listen, reason),
    });
    const { status, notes } = nbd;
    return { active: { status, listen, request, ublkId: null, nbd }, notes };
  }

  async #addUblk(
    host: StackHost,
    helper: UblkProcess,
    request: ExportRequest,
  ): Promise<MadeExport> {
    const { name, runDir, logger } = this.#options;
    const geometry = await host.call('geometry', null);
    const record = readUblkRecord(runDir, name);
    const recovered =
      record === null ? null : await helper.beginRecovery(record, geometry, request.read_only);
    const added =
      recovered ??
      (await helper.add({
        geometry,
        id: request.ublk_id,
        queues: request.queues ?? 1,
        depth: request.depth ?? DEPTH_DEFAULT,
        readOnly: request.read_only,
      }));
    const before = recovered === null ? [] : record!.serverPids;
    writeUblkRecord(runDir, name, { id: added.id, serverPids: [...before, process.pid] });
    if (added.missing.length > 0) {
      logger.warn({ missing: added.missing }, 'the ublk driver lacks features');
    }
    let serving: ExportStatus | null = null;
    try {
      const status = await host.call('exportUblk', {
        deviceId: added.id,
        queues: added.queues,
        depth: added.depth,
        bufferBytes: added.bufferBytes,
        attributes: added.attributes,
      });
      serving = status;
      if (recovered === null) await helper.start(added.id, process.pid);
      else await helper.endRecovery(added.id, process.pid);
      writeUblkRecord(runDir, name, { id: added.id, serverPids: [process.pid] });
      return { active: { status, listen: null, request, ublkId: added.id, nbd: null }, notes: [] };
    } catch (error) {
      // A device that waits for a server goes on waiting: giving up is the user's decision.
      if (recovered !== null) throw error;
      await helper.stop(added.id).catch(() => {});
      if (serving !== null) await host.call('unexport', serving.address).catch(() => {});
      await helper.delete(added.id).catch(() => {});
      removeUblkRecord(runDir, name);
      throw error;
    }
  }

  async #remove(host: StackHost, { status, ublkId, nbd }: ActiveExport): Promise<void> {
    const { name, runDir } = this.#options;
    await nbd?.stop();
    if (ublkId === null) return;
    const helper = await UblkProcess.open(UBLK_TIMEOUT_MS);
    try {
      await helper.stop(ublkId);
      await host.call('unexport', status.address);
      await helper.delete(ublkId);
      removeUblkRecord(runDir, name);
    } finally {
      helper.close();
    }
  }
}
