/**
 * Loads the native addon: the only module that loads a .node file.                 (control plane)
 *
 * The binary lies in native/ublk/ of the package. This file runs from src/native/ under tsx and
 * from dist/src/native/ when compiled, so the package is found by walking up to the directory that
 * holds package.json. Every thread that calls `loadAddon` gets its own instance of the addon, with
 * its own rings and mappings.
 *
 * Not here: words for people about a forbidden io_uring (reactor/uring-error.ts).
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { NativeAddon } from './addon.ts';

export const ADDON_BUILD_COMMAND = 'npm run build:native';
const ADDON_IN_PACKAGE = 'native/ublk/build/Release/bandstand.node';

/** The addon is not built, or built for another Node or machine. */
export class AddonMissingError extends Error {
  override readonly name = 'AddonMissingError';
  /** Where the binary was looked for. */
  readonly path: string;
  /** What builds it. */
  readonly buildCommand = ADDON_BUILD_COMMAND;

  constructor(addonPath: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : 'no such file';
    super(`cannot load the native addon ${addonPath}: ${why}`, { cause });
    this.path = addonPath;
  }
}

/** The directory of the nearest package.json at or above `start`; the root when there is none. */
export function packageRoot(start: string = import.meta.dirname): string {
  let directory = start;
  while (!existsSync(path.join(directory, 'package.json'))) {
    const parent = path.dirname(directory);
    if (parent === directory) break;
    directory = parent;
  }
  return directory;
}

export function addonPath(): string {
  return path.join(packageRoot(), ADDON_IN_PACKAGE);
}

let loaded: NativeAddon | null = null;

/** The addon of this thread. Throws AddonMissingError. */
export function loadAddon(): NativeAddon {
  loaded ??= loadAddonFrom(addonPath());
  return loaded;
}

/** Loads the binary at `addonPath`. Throws AddonMissingError. */
export function loadAddonFrom(addonPath: string): NativeAddon {
  if (!existsSync(addonPath)) throw new AddonMissingError(addonPath, null);
  try {
    // The addon fills its exports one by one, which V8 keeps as a hash table; in a copy, finding a
    // function is a load instead of a search (200 instructions per call).
    return { ...(createRequire(import.meta.url)(addonPath) as NativeAddon) };
  } catch (error) {
    throw new AddonMissingError(addonPath, error);
  }
}
