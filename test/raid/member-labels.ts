import test from 'ava';
import { EIO, OK } from '../../src/block/status.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { type Label, NO_PROCESS } from '../../src/raid/label.ts';
import { type LabelMark, MemberLabels } from '../../src/raid/member-labels.ts';
import { ARRAY, createdArray, labelled, MEMBERS } from '../_helpers/member-bench.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';

const BITMAP = { offsetBytes: 131072, bytes: 4096, regionBlocks: 64 };
const MARK: LabelMark = {
  state: 'dirty',
  superblockSeq: 5,
  process: NO_PROCESS,
  missedSince: 4,
  bitmap: BITMAP,
};
const TARGET = '77777777-7777-4777-8777-777777777777';
const REBUILD: LabelMark['process'] = {
  ...NO_PROCESS,
  kind: 'rebuild',
  slot: 1,
  block: 9,
  uuid: TARGET,
};

async function opened() {
  const bench = await createdArray('raid1', 4);
  const [a, b, c, d] = bench.devices as [RamDevice, RamDevice, RamDevice, RamDevice];
  const assembly = await bench.assemble();
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const members = labelled(assembly, byName);
  return {
    ...bench,
    a,
    b,
    c,
    d,
    members,
    labels: new MemberLabels(bench.reactor, ARRAY, 1, members.slice(0, 2)),
    async on(device: RamDevice): Promise<Label | null> {
      return (await bench.reactor.drive(examineDevice(bench.reactor, device))).label;
    },
    write: (labels: MemberLabels, mark: LabelMark) => bench.reactor.drive(labels.write(mark)),
  };
}

test('a mark says the same on every member', async (t) => {
  const { a, b, c, labels, on, write } = await opened();
  t.deepEqual(await write(labels, MARK), []);
  for (const [slot, device] of [a, b].entries()) {
    const { state, superblockSeq, missedSince, bitmap } = MARK;
    t.like(await on(device), {
      ...{ state, superblockSeq, missedSince, bitmap, process: NO_PROCESS },
      ...{ role: 'member', slot, memberUuid: MEMBERS[slot]!, sequence: 3, eventCount: 1 },
    });
  }
  t.like(await on(c), { sequence: 2, state: 'clean' });
});

test('a start is counted once, whatever is marked in between', async (t) => {
  const { a, labels, on, write } = await opened();
  await write(labels, MARK);
  await write(labels, { ...MARK, missedSince: 5 });
  t.like(await on(a), { eventCount: 1, missedSince: 5, sequence: 4 });
  await write(labels, { ...MARK, state: 'clean' });
  t.like(await on(a), { eventCount: 1, state: 'clean' });
  await write(labels, MARK);
  t.like(await on(a), { eventCount: 2, state: 'dirty' });
});

test('all devices of a run carry the highest event count, plus one', async (t) => {
  const { a, b, c, members, reactor, on, write } = await opened();
  const [first, second, third] = members as [
    (typeof members)[0],
    (typeof members)[0],
    (typeof members)[0],
  ];
  const ahead = { ...second, label: { ...second.label!, eventCount: 20 } };
  const labels = new MemberLabels(reactor, ARRAY, 1, [first, ahead]);
  await write(labels, MARK);
  t.is((await on(a))?.eventCount, 21);
  t.is((await on(b))?.eventCount, 21);
  // One that is added later joins the run, however old its own label is.
  labels.add({ ...third, label: { ...third.label!, eventCount: 2 } }, 'member');
  await write(labels, MARK);
  t.is((await on(c))?.eventCount, 21);
});

test('a target is marked as one, and becomes the member of its slot', async (t) => {
  const { a, b, d, labels, on, write } = await opened();
  labels.add({ slot: 1, uuid: TARGET, device: d, label: null, labelSequence: 2 }, 'target');
  const process = { ...REBUILD, replace: true };
  t.deepEqual(await write(labels, { ...MARK, process }), []);
  t.like(await on(d), { role: 'target', slot: 1, memberUuid: TARGET, sequence: 3, process });
  t.like(await on(b), { role: 'member', slot: 1, memberUuid: MEMBERS[1]!, process });
  labels.promote(1);
  t.deepEqual(await write(labels, { ...MARK, superblockSeq: 6 }), []);
  t.like(await on(d), { role: 'member', slot: 1, memberUuid: TARGET, process: NO_PROCESS });
  t.like(await on(a), { superblockSeq: 6 });
  t.like(await on(b), { superblockSeq: 5, process }, 'the one before is not written any more');
  t.throws(() => labels.promote(1), { message: /a target is promoted that is there/ });
});

test('a device that was dropped is not written any more', async (t) => {
  const { b, labels, on, write } = await opened();
  t.true(labels.drop(1));
  t.false(labels.drop(1));
  t.false(labels.drop(0, 'target'));
  await write(labels, MARK);
  t.like(await on(b), { sequence: 2, state: 'clean' });
});

test('what fails is returned, and the others are marked', async (t) => {
  const { a, b, labels, on, write } = await opened();
  b.fault = () => EIO;
  const failures = await write(labels, MARK);
  t.like(failures, [{ slot: 1, role: 'member', uuid: MEMBERS[1]! }]);
  t.is(failures.length, 1);
  t.is(failures[0]?.error.code, 'BANDSTAND_DEVICE_IO');
  t.like(await on(a), { superblockSeq: 5 });
  b.fault = () => OK;
  t.like(await on(b), { sequence: 2 });
  t.deepEqual(await write(labels, MARK), []);
  t.like(await on(b), { sequence: 3, superblockSeq: 5 });
});

test('marks that overlap are written one after another, as they were asked for', async (t) => {
  const { a, b, reactor, labels, on } = await opened();
  const marks = [5, 6, 7].map((superblockSeq) => labels.write({ ...MARK, superblockSeq }));
  labels.drop(1);
  marks.push(labels.write({ ...MARK, superblockSeq: 8 }));
  t.deepEqual(await reactor.drive(Promise.all(marks)), [[], [], [], []]);
  t.like(await on(a), { superblockSeq: 8, sequence: 6 });
  t.like(await on(b), { superblockSeq: 7, sequence: 5 });
});

test('the label that another array left on a device never wins', async (t) => {
  const bench = await createdArray('raid1', 2);
  bench.label(1, (label) => ({ ...label, arrayUuid: MEMBERS[3]!, sequence: 50 }));
  const identities = new Map([['/dev/ram1', MEMBERS[1]!]]);
  const assembly = await bench.assemble({ identities });
  t.like(assembly.slots[1], { label: null, labelSequence: 50 });
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const labels = new MemberLabels(bench.reactor, ARRAY, 1, labelled(assembly, byName));
  await bench.reactor.drive(labels.markDirty());
  t.like((await bench.assemble()).slots[1]?.label, { sequence: 51, arrayUuid: ARRAY });
});
