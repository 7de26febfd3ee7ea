/**
 * Fetches the kernel that the guest boots: the newest 6.12 cloud package that apt offers.
 *
 * The package is only downloaded and unpacked into a cache, never installed: the machine keeps its
 * own kernel. Cloud kernels are small and have virtio-pci, virtio-console and virtiofs built in,
 * which is what lets the guest boot without an initramfs. The cache is $XDG_CACHE_HOME/bandstand,
 * or .cache/ in the clone.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const clone = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const series = '6.12';
const packageName = new RegExp(
  `^linux-image-(${series.replace('.', '\\.')}\\.\\d\\S*)-cloud-amd64$`,
);

const newestLast = (a, b) => a.localeCompare(b, 'en', { numeric: true });

/** @returns {string} the directory that holds the unpacked kernels, which may not exist yet */
function cacheDirectory() {
  const base = process.env.XDG_CACHE_HOME;
  return path.join(base ? path.join(base, 'bandstand') : path.join(clone, '.cache'), 'kernel');
}

/** Names of the kernel packages that were unpacked earlier, oldest first. */
async function cachedPackages() {
  const entries = await readdir(cacheDirectory()).catch(() => []);
  return entries.filter((entry) => packageName.test(entry)).sort(newestLast);
}

/** The newest package name that apt knows; it reads apt's local lists and no network. */
async function findPackage() {
  const { stdout } = await run('apt-cache', ['search', '--names-only', `^linux-image-${series}`], {
    timeout: 60_000,
    maxBuffer: 1 << 24,
  });
  const names = stdout
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => packageName.test(name))
    .sort(newestLast);
  if (names.length === 0) {
    throw new Error(
      `apt offers no package linux-image-${series}.*-cloud-amd64: run apt-get update ` +
        '(Debian 12 has it in bookworm-security and bookworm-backports)',
    );
  }
  return names.at(-1);
}

/** Unpacks `name` into the cache; complete or absent, because the last step is one rename. */
async function fetchPackage(name) {
  const cache = cacheDirectory();
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
    // Debian 13 ships usr/lib/modules; one place for both keeps the guest's init simple.
    if (!existsSync(path.join(tree, 'lib')))
      await rename(path.join(tree, 'usr/lib'), path.join(tree, 'lib'));
    const [release] = await readdir(path.join(tree, 'lib/modules'));
    await run('depmod', ['-b', tree, release], { timeout: 120_000 });
    await rename(tree, path.join(cache, name)).catch((error) => {
      // Another run unpacked the same package meanwhile: its copy is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Returns the kernel to boot, fetching it when the cache holds none.
 *
 * @returns {Promise<{release: string, image: string, tree: string}>} `tree` holds lib/modules
 */
export async function prepareKernel() {
  let name = (await cachedPackages()).at(-1);
  if (name === undefined) {
    name = await findPackage();
    await fetchPackage(name);
  }
  const tree = path.join(cacheDirectory(), name);
  const [release] = await readdir(path.join(tree, 'lib/modules'));
  return { release, image: path.join(tree, `boot/vmlinuz-${release}`), tree };
}
