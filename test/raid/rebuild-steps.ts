import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { EIO } from '../../src/block/status.ts';
import { type FaultKind, type Scenario, walkFaults } from '../_helpers/fault-walk.ts';
import { OFFSET } from '../_helpers/managed-array.ts';

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a failed member of a mirror, and a spare': {
    options: { level: 'raid1', members: 2, blocks: 32, spares: 1 },
    seed: 11,
    async run(walk) {
      await walk.ask(() => walk.bench.manager!.failMember(1));
      await walk.quiet();
    },
  },
  'a write error in a mirror of three, and a spare': {
    options: { level: 'raid1', members: 3, blocks: 32, spares: 1 },
    seed: 12,
    async run(walk) {
      // The one that a resync would take as right, if it came back.
      const disk = walk.bench.disks[0]!;
      const { fault } = disk;
      disk.fault = (io) => (io.op === OP_WRITE && io.block >= OFFSET ? EIO : fault(io));
      await walk.write(1);
      await walk.quiet();
    },
  },
  'a failed member of a stripe with parity, and a spare': {
    options: { level: 'raid5f', members: 3, blocks: 32, strip: 4, spares: 1 },
    seed: 13,
    async run(walk) {
      await walk.ask(() => walk.bench.manager!.failMember(0));
      await walk.quiet();
    },
  },
  'a member that comes back with what it has': {
    options: { level: 'raid1', members: 3, blocks: 32 },
    seed: 14,
    async run(walk) {
      const { bench } = walk;
      const disk = bench.disks[2]!;
      await walk.ask(() => bench.manager!.failMember(2));
      await walk.write(2);
      await walk.ask(() => bench.manager!.removeMember(2));
      if (disk.isOpen) return;
      await walk.give(disk, (manager) => manager.addMember(disk));
      await walk.quiet();
    },
  },
  'a member that no other can stand in for, replaced': {
    options: { level: 'raid5f', members: 3, blocks: 32, strip: 4, blanks: 1 },
    seed: 16,
    async run(walk) {
      const { bench } = walk;
      const disk = bench.disks[3]!;
      await walk.ask(() => bench.manager!.failMember(2));
      await walk.ask(() => bench.manager!.removeMember(2));
      await walk.give(disk, (manager) => manager.replaceMember(0, disk));
      await walk.quiet();
      const back = bench.disks[2]!;
      if (back.isOpen) return;
      await walk.give(back, (manager) => manager.addMember(back));
      await walk.quiet();
    },
  },
  'a member that is replaced while it works': {
    options: { level: 'raid1', members: 2, blocks: 32, blanks: 1 },
    seed: 15,
    async run(walk) {
      const disk = walk.bench.disks[2]!;
      await walk.give(disk, (manager) => manager.replaceMember(0, disk));
      await walk.quiet();
    },
  },
};

for (const [title, scenario] of Object.entries(SCENARIOS)) {
  for (const kind of ['once', 'for ever', 'power'] as const satisfies readonly FaultKind[]) {
    // One after another, so that a walk finds the memory of the one before in the caches.
    test.serial(`${title}: nothing is lost when a metadata write fails ${kind}`, async (t) => {
      t.timeout(300_000);
      const writes = await walkFaults(t, scenario, kind);
      t.true(writes > 10, `${writes} writes were cut short`);
    });
  }
}
