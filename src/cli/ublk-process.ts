/**
 * UblkProcess: the server's handle of its ublk helper process (ublk-helper.ts).     (control plane)
 *
 * One command at a time; a helper that dies rejects the command in hand.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Geometry } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { WireError } from '../control/schema.ts';
import { errorOf } from '../stack/stack-host.ts';
import type {
  UblkAddReply,
  UblkAddRequest,
  UblkHelperReply,
  UblkHelperRequest,
} from './ublk-helper.ts';
import type { UblkRecord } from './ublk-record.ts';

export class UblkProcess {
  readonly #child: ChildProcess;
  #waiting: { resolve(result: unknown): void; reject(error: unknown): void } | null = null;

  /** Throws BANDSTAND_UBLK_UNAVAILABLE or BANDSTAND_UBLK_PERMISSION. */
  static async open(timeoutMs: number): Promise<UblkProcess> {
    const helper = new UblkProcess();
    try {
      await helper.#send({ op: 'open', timeoutMs });
    } catch (error) {
      helper.close();
      throw error;
    }
    return helper;
  }

  private constructor() {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const program = fileURLToPath(new URL(`./ublk-helper.${extension}`, import.meta.url));
    this.#child = spawn(process.execPath, [...process.execArgv, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message) => this.#receive(message as UblkHelperReply));
    this.#child.on('error', (error) => this.#ended(error.message));
    this.#child.on('exit', (code, signal) => this.#ended(`it ended with ${signal ?? code}`));
  }

  async add(request: UblkAddRequest): Promise<UblkAddReply> {
    return (await this.#send({ op: 'add', request })) as UblkAddReply;
  }

  /** Null when there is nothing to take over. */
  async beginRecovery(
    record: UblkRecord,
    geometry: Geometry,
    readOnly: boolean,
  ): Promise<UblkAddReply | null> {
    const request = { op: 'begin-recovery', record, geometry, readOnly } as const;
    return (await this.#send(request)) as UblkAddReply | null;
  }

  async endRecovery(id: number, pid: number): Promise<void> {
    await this.#send({ op: 'end-recovery', id, pid });
  }

  async start(id: number, pid: number): Promise<void> {
    await this.#send({ op: 'start', id, pid });
  }

  async stop(id: number): Promise<void> {
    await this.#send({ op: 'stop', id });
  }

  async delete(id: number): Promise<void> {
    await this.#send({ op: 'delete', id });
  }

  close(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #send(request: UblkHelperRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (!this.#child.connected) this.#ended('it is gone');
      else this.#child.send(request);
    });
  }

  #receive(reply: UblkHelperReply): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if ('error' in reply) waiting?.reject(errorOf(reply.error as WireError));
    else waiting?.resolve(reply.result);
  }

  #ended(why: string): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(
      new BandstandError('BANDSTAND_SERVER_FAILED', {
        message: `cannot command the ublk driver: the process for it failed: ${why}`,
        hint: 'look at the log of the server and at the kernel log (dmesg)',
        details: { why },
      }),
    );
  }
}
