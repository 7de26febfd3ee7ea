/**
 * Places: what is at a path, and whether it lies on what a stack exports.           (control plane)
 */

import { accessSync, constants, type Stats, statSync } from 'node:fs';
import type { ExportStatus } from '../../control/schema.ts';
import { identifyDevice } from '../../stack/device-usage.ts';
import { type Directories, readableDirectories } from '../../stack/directories.ts';
import { storageBelow } from '../../stack/storage-below.ts';
import type { DirectoryFacts, ExportPlace, PlaceFacts } from './directory-checks.ts';
import { readText } from './proc.ts';

/** Major number of the kernel's NBD clients. */
const NBD = /^43:/;

export interface Exported {
  readonly stack: string;
  readonly exports: readonly Pick<ExportStatus, 'address' | 'kind'>[];
}

export class Places {
  /** Block devices of ours: key → which. */
  readonly #devices = new Map<string, ExportPlace>();
  /** A stack that is exported over NBD: a client of this machine may have made a device of it. */
  #overNbd: string | null = null;

  constructor(exported: readonly Exported[]) {
    for (const { exports, stack } of exported) {
      for (const { address, kind } of exports) {
        if (kind === 'nbd') this.#overNbd ??= stack;
        else this.#add(address, stack);
      }
    }
  }

  #add(address: string, stack: string): void {
    try {
      const { key } = identifyDevice(address);
      this.#devices.set(key, { stack, address, isCertain: true });
    } catch {
      // It has just gone, and nothing lies on it.
    }
  }

  read(path: string): PlaceFacts {
    const stat = look(path);
    if (stat === null) {
      return { path, kind: null, mode: 0, uid: 0, isWritable: false, onExport: null };
    }
    const kind = stat.isDirectory() ? 'directory' : 'file';
    const { mode, uid } = stat;
    const onExport = this.#exportBelow(path);
    return { path, kind, mode: mode & 0o7777, uid, isWritable: canWrite(path), onExport };
  }

  #exportBelow(path: string): ExportPlace | null {
    for (const key of storageBelow(path)) {
      const place = this.#devices.get(key);
      if (place !== undefined) return place;
      if (NBD.test(key) && this.#overNbd !== null) {
        const name = /^DEVNAME=(\S+)$/m.exec(readText(`/sys/dev/block/${key}/uevent`) ?? '')?.[1];
        return { stack: this.#overNbd, address: `/dev/${name ?? 'nbd'}`, isCertain: false };
      }
    }
    return null;
  }

  /** The run and state directories at which a command looks, its own first. */
  directories(directories: Directories): DirectoryFacts[] {
    const ownUid = process.geteuid!();
    return readableDirectories(directories).flatMap((pair) => {
      const isForeign = pair !== directories;
      const shown = ([what, path]: readonly ['run' | 'state', string]): DirectoryFacts => ({
        ...this.read(path),
        what,
        ownUid,
        isForeign,
      });
      const both = [shown(['run', pair.runDir]), shown(['state', pair.stateDir])];
      return isForeign ? both.filter(({ kind }) => kind !== null) : both;
    });
  }
}

function look(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
