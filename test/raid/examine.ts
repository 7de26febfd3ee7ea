import test from 'ava';
import { EIO, OK } from '../../src/block/status.ts';
import { examinationJson, examineDevice } from '../../src/raid/examine.ts';
import { LABEL_OFFSETS, NO_PROCESS } from '../../src/raid/label.ts';
import { ARRAY, createdArray, MEMBERS } from '../_helpers/member-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

test('examine reports every field of a member as JSON', async (t) => {
  const { reactor, devices } = await createdArray('raid1', 2);
  const json = examinationJson(await reactor.drive(examineDevice(reactor, devices[1]!)));
  t.like(json, {
    device: '/dev/ram1',
    block_size: 512,
    blocks: 2560,
    superblock: {
      state: 'ok',
      reason: null,
      offset_bytes: 0,
      fields: { raid_size: 512, block_size: 512, level: 1, seq_number: 1, num_base_bdevs: 2 },
      array: { name: 'tank', uuid: ARRAY, level: 'raid1', size_bytes: 262144, seq_number: 1 },
    },
    member: { uuid: MEMBERS[1]!, array_uuid: ARRAY, slot: 1, state: 'clean', in_superblock: true },
  });
  const labels = json['labels'] as Record<string, unknown>[];
  t.like(labels[0], {
    copy: 0,
    offset_bytes: 65536,
    state: 'ok',
    fields: { sequence: 2, state: 1 },
  });
  t.like(labels[1], {
    copy: 1,
    offset_bytes: 98304,
    state: 'ok',
    fields: { sequence: 1, state: 3 },
  });
  t.notThrows(() => JSON.stringify(json));
});

test('examine reports role, bitmap and process of a label', async (t) => {
  const { reactor, devices, label } = await createdArray('raid1', 2);
  const process = {
    ...NO_PROCESS,
    kind: 'rebuild',
    slot: 1,
    block: 64,
    uuid: MEMBERS[1]!,
  } as const;
  const bitmap = { offsetBytes: 131072, bytes: 8192, regionBlocks: 64 };
  label(1, (old) => ({ ...old, role: 'target', process, bitmap, missedSince: 1, eventCount: 4 }));
  const json = examinationJson(await reactor.drive(examineDevice(reactor, devices[1]!)));
  t.like(json['member'] as Record<string, unknown>, {
    role: 'target',
    event_count: 4,
    missed_since: 1,
    bitmap: { offset_bytes: 131072, size_bytes: 8192, region_blocks: 64 },
    process: {
      kind: 'rebuild',
      slot: 1,
      block: 64,
      repair: false,
      replace: false,
      paused: false,
      delta: false,
      target_uuid: MEMBERS[1]!,
    },
  });
  const other = examinationJson(await reactor.drive(examineDevice(reactor, devices[0]!)));
  t.like(other['member'] as Record<string, unknown>, {
    role: 'member',
    bitmap: null,
    process: null,
    missed_since: 0,
  });
});

test('examine tells absent, damaged, foreign and unreadable apart', async (t) => {
  const { reactor, devices } = await createdArray('raid1', 2);
  const [device] = devices as [RamDevice];
  device.bytes[2] = 0x2e;
  device.bytes[LABEL_OFFSETS[1] + 50]! ^= 1;
  const found = await reactor.drive(examineDevice(reactor, device));
  t.is(found.superblock.state, 'damaged');
  t.is(
    found.superblock.error?.message,
    'cannot use the superblock on /dev/ram0: signature: is not SPDKRAID',
  );
  t.is(found.labels[0].state, 'ok');
  t.is(found.labels[1].state, 'damaged');
  t.is(found.label?.sequence, 2);
  const json = examinationJson(found)['superblock'] as Record<string, unknown>;
  t.like(json, { state: 'damaged', code: 'BANDSTAND_SUPERBLOCK_SIGNATURE', field: 'signature' });
  device.bytes.fill(0x41, 0, 4096);
  t.is((await reactor.drive(examineDevice(reactor, device))).superblock.state, 'absent');
  device.fault = (io) => (io.block === 0 ? EIO : OK);
  const unreadable = await reactor.drive(examineDevice(reactor, device));
  t.is(unreadable.superblock.state, 'damaged');
  t.is(unreadable.superblock.error?.code, 'BANDSTAND_DEVICE_IO');
  const tiny = new RamDevice('/dev/tiny', { blockCount: 3 });
  await tiny.open(reactor);
  const small = await reactor.drive(examineDevice(reactor, tiny));
  t.is(small.superblock.state, 'absent');
  t.is(small.label, null);
});
