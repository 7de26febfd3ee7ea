/**
 * Fetches the kernel that the guest boots: the newest 6.12 cloud package that apt offers.
 *
 * The package is only unpacked (package.js). Cloud kernels are small and have virtio-pci,
 * virtio-console and virtiofs built in, which is what lets the guest boot without an initramfs.
 */
import { existsSync } from 'node:fs';
import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { cacheDirectory, fetchPackage, run } from './package.js';

const series = '6.12';
const packageName = new RegExp(
  `^linux-image-(${series.replace('.', '\\.')}\\.\\d\\S*)-cloud-amd64$`,
);

const newestLast = (a, b) => a.localeCompare(b, 'en', { numeric: true });

const directory = cacheDirectory('kernel');

/** Names of the kernel packages that were unpacked earlier, oldest first. */
async function cachedPackages() {
  const entries = await readdir(directory).catch(() => []);
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

async function prepareTree(tree) {
  // Debian 13 ships usr/lib/modules; one place for both keeps the guest's init simple.
  if (!existsSync(path.join(tree, 'lib')))
    await rename(path.join(tree, 'usr/lib'), path.join(tree, 'lib'));
  const [release] = await readdir(path.join(tree, 'lib/modules'));
  await run('depmod', ['-b', tree, release], { timeout: 120_000 });
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
    await fetchPackage('kernel', name, prepareTree);
  }
  const tree = path.join(directory, name);
  const [release] = await readdir(path.join(tree, 'lib/modules'));
  return { release, image: path.join(tree, `boot/vmlinuz-${release}`), tree };
}
