/**
 * NbdExport: an NBD export and, where clients speak TLS, the thread for it.         (control plane)
 *
 * On the main thread. The order of its end is that of its data: the data path closes its
 * connections and says that no more will come, then the clients take what is left for them.
 */

import type { ExportStatus, TlsFiles } from '../control/schema.ts';
import { TlsThread, type TlsThreadObserver } from '../exporter/nbd/tls-thread.ts';
import type { StackHost } from './stack-host.ts';
import { readTls } from './tls-files.ts';
import type { NbdExportOptions } from './worker-messages.ts';

export class NbdExport {
  readonly status: ExportStatus;
  /** Sentences for the user. */
  readonly notes: readonly string[];
  readonly #host: StackHost;
  readonly #tls: TlsThread | null;

  /** Throws BandstandError; then nothing is left behind. */
  static async start(
    host: StackHost,
    options: Omit<NbdExportOptions, 'tlsPort'>,
    files: TlsFiles | null,
    observer: TlsThreadObserver,
  ): Promise<NbdExport> {
    if (files === null) {
      const status = await host.call('exportNbd', { ...options, tlsPort: null });
      return new NbdExport(host, status, null, []);
    }
    const { settings, notes } = readTls(files, Date.now());
    const tls = await TlsThread.start(settings, observer);
    try {
      const { port } = tls;
      const status = await host.call('exportNbd', { ...options, tlsPort: port }, [port]);
      return new NbdExport(host, status, tls, notes);
    } catch (error) {
      await tls.terminate();
      throw error;
    }
  }

  private constructor(
    host: StackHost,
    status: ExportStatus,
    tls: TlsThread | null,
    notes: readonly string[],
  ) {
    this.#host = host;
    this.status = status;
    this.#tls = tls;
    this.notes = notes;
  }

  async stop(): Promise<void> {
    await this.#host.call('unexport', this.status.address);
    await this.ended();
  }

  /** After the data path has closed it by itself: waits until clients have their last replies. */
  async ended(): Promise<void> {
    await this.#tls?.ended();
  }
}
