/**
 * Rates of the byte loops, in bytes per second: XOR over n sources, CRC-32C, copy.
 */

import { PortableKernels } from '../src/block/portable-kernels.ts';
import { loadAddon } from '../src/native/load.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';

const TIME_MS = 200;

export function kernelRates(): Record<string, number> {
  const reactor = RingReactor.create({ native: loadAddon(), arenaBytes: 16 * 2 ** 20 });
  const { arena, kernels } = reactor;
  const portable = new PortableKernels(arena);
  const sources = Uint32Array.of(0, 65536, 131072, 196608);
  const rates: Record<string, number> = {};
  for (const bytes of [4096, 65536]) {
    const size = `${bytes / 1024} KiB`;
    rates[`kernels: xor of 4 × ${size}`] = rate(4 * bytes, () =>
      kernels.xor(262144, sources, 4, bytes),
    );
    rates[`kernels: xor of 4 × ${size}, JavaScript`] = rate(4 * bytes, () =>
      portable.xor(262144, sources, 4, bytes),
    );
    rates[`kernels: crc32c of ${size}`] = rate(bytes, () => kernels.crc32c(0, bytes));
    rates[`kernels: crc32c of ${size}, copied`] = rate(bytes, () =>
      kernels.copyCrc32cRaw(0, 1 << 20, 0, bytes),
    );
    rates[`kernels: copy of ${size}`] = rate(bytes, () => kernels.copy(1 << 20, 0, bytes));
  }
  return rates;
}

function rate(bytes: number, run: () => void): number {
  for (let index = 0; index < 200; index += 1) run();
  const start = performance.now();
  let count = 0;
  do {
    for (let index = 0; index < 20; index += 1) run();
    count += 20;
  } while (performance.now() - start < TIME_MS);
  return (count * bytes * 1000) / (performance.now() - start);
}
