/**
 * Debian packages that are only downloaded and unpacked, never installed: the machine stays as it
 * is. They lie in $XDG_CACHE_HOME/bandstand, or in .cache/ of the clone.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);

export const clone = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** @returns {string} the directory for unpacked packages of a kind, which may not exist yet */
export function cacheDirectory(kind) {
  const base = process.env.XDG_CACHE_HOME;
  return path.join(base ? path.join(base, 'bandstand') : path.join(clone, '.cache'), kind);
}

/**
 * Unpacks package `name` into the cache; complete or absent, because the last step is one rename.
 *
 * @param {string} kind
 * @param {string} name of the package
 * @param {(tree: string) => Promise<void>} [prepare] what has to be done to the unpacked files
 * @throws {Error} of apt-get or dpkg-deb
 */
export async function fetchPackage(kind, name, prepare = async () => {}) {
  const cache = cacheDirectory(kind);
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(path.join(cache, 'unpack-'));
  try {
    await run('apt-get', ['download', '-q', '-o', 'APT::Sandbox::User=root', name], {
      cwd: work,
      timeout: 300_000,
    });
    const archive = (await readdir(work)).find((entry) => entry.endsWith('.deb'));
    await run('dpkg-deb', ['-x', archive, 'tree'], { cwd: work, timeout: 120_000 });
    const tree = path.join(work, 'tree');
    await prepare(tree);
    await rename(tree, path.join(cache, name)).catch((error) => {
      // Another run unpacked the same package meanwhile: its copy is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
