import { MemoryDevice } from '../../src/device/memory-device.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

for (const blockBytes of [512, 4096]) {
  const sizeBytes = 1000 * blockBytes;
  conformance(
    `memory in the simulator, ${blockBytes}-byte blocks`,
    () => ({
      reactor: new SimulatedReactor({ seed: 1 }),
      device: new MemoryDevice('mem', { sizeBytes, blockBytes }),
    }),
    { persistent: false },
  );
  conformance(
    `memory on the ring, ${blockBytes}-byte blocks`,
    () => {
      const reactor = openRingReactor();
      const device = new MemoryDevice('mem', { sizeBytes, blockBytes });
      return { reactor, device, dispose: () => reactor.close() };
    },
    { persistent: false },
  );
}
