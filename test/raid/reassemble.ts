import test from 'ava';
import { readBlocks } from '../../src/block/control-io.ts';
import { assemblySpec } from '../../src/raid/assemble.ts';
import { planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';
import { Random } from '../_helpers/array-fixture.ts';
import {
  ARRAY,
  createdArray,
  DATA_BLOCKS,
  MEMBERS,
  metadataOf,
  openMembers,
  writeWhole,
} from '../_helpers/member-bench.ts';
import { referenceImages, referenceSize } from '../_helpers/raid-reference.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes, sameImages } from '../_helpers/same-bytes.ts';

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  for (const blockBytes of [512, 4096]) {
    test(`a created ${level} of ${blockBytes} assembles from its devices in any order and keeps its data`, async (t) => {
      const { reactor, devices, assemble } = await createdArray(level, 4, blockBytes);
      const assembly = await assemble({ name: 'tank' });
      t.like(assembly, { degraded: false, clean: true, warnings: [], unused: [] });
      const byName = new Map(devices.map((device) => [device.name, device]));
      const array = new RaidArray(assemblySpec(assembly, byName), { membersOpened: true });
      await reactor.drive(array.open(reactor));
      const content = new Random(21).bytes(array.geometry.blockCount * blockBytes);
      await reactor.drive(writeWhole(array, reactor, content));
      await reactor.drive(array.close());
      for (const device of devices) await device.open(reactor);

      const shuffled = [devices[2]!, devices[0]!, devices[3]!, devices[1]!];
      const again = await assemble({ uuid: ARRAY.toUpperCase() }, shuffled);
      t.deepEqual(again.slots, assembly.slots);
      const second = new RaidArray(assemblySpec(again, byName), { membersOpened: true });
      await reactor.drive(second.open(reactor));
      const read = readBlocks(reactor, second, 0, second.geometry.blockCount);
      sameBytes(t, await reactor.drive(read), content);
      await reactor.drive(second.close());
    });
  }
}

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  test(`a ${level} made by SPDK assembles with its UUIDs and reads back`, async (t) => {
    const sizes = level === 'concat' ? [200, 160, 300] : [DATA_BLOCKS, DATA_BLOCKS, DATA_BLOCKS];
    const layout = { level, strip: 16, sizes };
    const blocks = referenceSize(layout);
    const content = new Random(31).bytes(blocks * 512);
    const bench = await openMembers(3);
    const used = sizes.map((size) => (level === 'raid1' ? size : size - (size % 16)));
    const superblock: Superblock = {
      versionMinor: 0,
      uuid: ARRAY,
      name: 'made by SPDK',
      raidSize: blocks,
      blockBytes: 512,
      level,
      stripBlocks: level === 'raid1' ? 0 : 16,
      seq: 7,
      members: used.map((dataSize, slot) => ({
        uuid: MEMBERS[slot]!,
        dataOffset: 2048,
        dataSize,
        state: 'configured',
        slot,
      })),
    };
    referenceImages(layout, 512, content).forEach((image, slot) => {
      bench.devices[slot]!.bytes.set(encodeSuperblock(superblock), 0);
      bench.devices[slot]!.bytes.set(image, 2 ** 20);
    });
    t.is(
      await bench.refusal(),
      `BANDSTAND_MEMBER_UNIDENTIFIED: cannot assemble made by SPDK: which member /dev/ram0 is cannot be told: it has no label (say which: /dev/ram0=UUID, one of ${MEMBERS.slice(0, 3).join(', ')})`,
    );
    const identities = new Map(
      bench.devices.map(({ name }, slot) => [name, MEMBERS[slot]!.toUpperCase()]),
    );
    const [a, b, c] = bench.devices as [RamDevice, RamDevice, RamDevice];
    const assembly = await bench.assemble({ identities }, [c, a, b]);
    t.deepEqual(
      assembly.slots.map(({ device }) => device),
      [a.name, b.name, c.name],
    );
    t.is(assembly.clean, null);
    t.deepEqual((await bench.assemble({ slotOrder: true })).slots, assembly.slots);

    const before = bench.devices.map(({ bytes }) => bytes.slice());
    const byName = new Map(bench.devices.map((device) => [device.name, device]));
    const array = new RaidArray(assemblySpec(assembly, byName), { membersOpened: true });
    await bench.reactor.drive(array.open(bench.reactor));
    sameBytes(t, await bench.reactor.drive(readBlocks(bench.reactor, array, 0, blocks)), content);
    sameImages(
      t,
      bench.devices.map(({ bytes }) => bytes),
      before,
      'unwritten image',
    );

    // The first mark gives the members labels, and from then on nobody has to say who is who.
    const metadata = metadataOf(bench.reactor, assembly, byName);
    t.deepEqual(await bench.reactor.drive(metadata.writeLabels({ state: 'dirty' })), []);
    t.is((await bench.assemble({}, [b, c, a])).clean, false);
    t.deepEqual(await bench.reactor.drive(metadata.writeLabels({ state: 'clean' })), []);
    const known = await bench.assemble({}, [b, c, a]);
    t.is(known.clean, true);
    t.deepEqual(
      known.slots.map(({ device }) => device),
      [a.name, b.name, c.name],
    );
    await bench.reactor.drive(array.close());
  });
}

test('an array without superblock is assembled from its description', async (t) => {
  const { reactor, devices } = await openMembers(3);
  const request = { name: 'plain', level: '5f', stripBytes: 4096, superblock: false };
  const plan = planArray({ ...request, members: devices });
  const array = new RaidArray(planSpec(plan, devices), { membersOpened: true });
  await reactor.drive(array.open(reactor));
  const content = new Random(5).bytes(array.geometry.blockCount * 512);
  await reactor.drive(writeWhole(array, reactor, content));
  const layout = {
    level: 'raid5f',
    strip: 8,
    sizes: devices.map(() => 2048 + DATA_BLOCKS),
  } as const;
  sameImages(
    t,
    devices.map(({ bytes }) => bytes),
    referenceImages(layout, 512, content),
  );
  await reactor.drive(array.close());
});
