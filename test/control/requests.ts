/** Decoders of requests and replies about members, activities and events: garbage has its words. */

import test from 'ava';
import {
  type Decoded,
  decodeExportRequest,
  EXPORT_LIMITS,
  IDLE,
  METHODS,
  unknownParam,
} from '../../src/control/schema.ts';
import { decodeEventsReply, decodeEventsRequest } from '../../src/control/schema-events.ts';
import {
  decodeActivityReply,
  decodeCache,
  decodeCacheReply,
  decodeCheck,
  decodeMemberAdd,
  decodeMemberChange,
  decodeMemberReplace,
  decodeMemberReply,
  decodeRebuild,
} from '../../src/control/schema-members.ts';
import { decodeUnexportRequest } from '../../src/control/schema-unexport.ts';
import { eventOf } from '../_helpers/fake-stack.ts';

type Decoder = (value: unknown) => Decoded<unknown>;

const ADD = { device: '/dev/sdd', spare_only: false, of_cache: true, dry_run: true };
const CHANGE = { member: 'sdb', member_path: '/dev/sdb', member_key: '8:16', dry_run: false };
const REPLACE = { ...CHANGE, device: '/dev/sdd' };
const REBUILD = { action: 'rate', of_cache: false, rate_bytes_per_second: 1024 };
const ATTACH = { action: 'attach', devices: ['/dev/a', '/dev/b'], dry_run: false };
const DETACH = { action: 'detach', devices: [], dry_run: true };
const ONE = ['/dev/a'];
const CHECK = { action: 'start', repair: true, dry_run: false };
const EVENTS = { since: 0, limit: 1000, wait_ms: 20_000 };
const MEMBER_REPLY = {
  action: 'add',
  dry_run: false,
  of_cache: true,
  changed: true,
  device: '/dev/sdd',
  uuid: null,
  slot: 2,
  was: null,
  role: 'rebuild',
  mode: 'delta',
  replaces: null,
  rebuild_device: '/dev/sdd',
  rebuild_slot: 2,
  waits_for: null,
  health: 'degraded',
};
const CACHE_REPLY = {
  ...ATTACH,
  device: 'tank-cache',
  size_bytes: 2 ** 30,
  undrained_bytes: 0,
};
const ACTIVITY_REPLY = {
  action: 'pause',
  dry_run: false,
  changed: true,
  activity: IDLE,
  limit_before: null,
};
const EVENTS_REPLY = { events: [eventOf(3)], last: 3, missed: 2 };

const GOOD: readonly (readonly [name: string, decode: Decoder, value: object])[] = [
  ['member-add', decodeMemberAdd, ADD],
  ['member-fail', decodeMemberChange, CHANGE],
  ['member-fail by slot', decodeMemberChange, { ...CHANGE, member_path: null, member_key: null }],
  ['member-replace', decodeMemberReplace, REPLACE],
  ['rebuild', decodeRebuild, REBUILD],
  ['rebuild, automatic', decodeRebuild, { ...REBUILD, rate_bytes_per_second: null }],
  ['check', decodeCheck, CHECK],
  ['cache attach', decodeCache, ATTACH],
  ['cache detach', decodeCache, DETACH],
  ['events', decodeEventsRequest, EVENTS],
  ['a member reply', decodeMemberReply, MEMBER_REPLY],
  ['a cache reply', decodeCacheReply, CACHE_REPLY],
  ['an activity reply', decodeActivityReply, ACTIVITY_REPLY],
  ['an events reply', decodeEventsReply, EVENTS_REPLY],
];

for (const [name, decode, value] of GOOD) {
  test(`${name} is decoded as it is, and only what is known of it`, (t) => {
    t.deepEqual(decode(value), { value } as never);
    for (const nothing of [null, undefined, 7, 'x', [], true]) {
      t.true('why' in decode(nothing), String(nothing));
    }
  });
}

test('requests carry no more than their fields', (t) => {
  for (const [, decode, value] of GOOD.slice(0, 10)) {
    t.deepEqual(decode({ ...value, __proto__: null, more: 1 }), { value } as never);
  }
});

const THREE = ['/dev/a', '/dev/b', '/dev/c'];

const BAD: readonly (readonly [why: string, decode: Decoder, value: object])[] = [
  ['device is not a device', decodeMemberAdd, { ...ADD, device: '' }],
  ['device is not a device', decodeMemberAdd, { ...ADD, device: '/dev/s\0d' }],
  ['device is not a device', decodeMemberAdd, { ...ADD, device: 'x'.repeat(4097) }],
  ['spare_only is not true or false', decodeMemberAdd, { ...ADD, spare_only: 1 }],
  ['of_cache is not true or false', decodeMemberAdd, { ...ADD, of_cache: null }],
  ['dry_run is not true or false', decodeMemberAdd, { ...ADD, dry_run: 'no' }],
  ['member is not the name of a member', decodeMemberChange, { ...CHANGE, member: 2 }],
  ['member_path is not a path', decodeMemberChange, { ...CHANGE, member_path: '' }],
  ['member_key is not an identity', decodeMemberChange, { ...CHANGE, member_key: 8 }],
  ['dry_run is not true or false', decodeMemberChange, { ...CHANGE, dry_run: null }],
  ['device is not a device', decodeMemberReplace, CHANGE],
  ['member is not the name of a member', decodeMemberReplace, { ...REPLACE, member: '' }],
  ['the action is unknown', decodeRebuild, { ...REBUILD, action: 'start' }],
  ['the rate is not a rate', decodeRebuild, { ...REBUILD, rate_bytes_per_second: 0 }],
  ['the rate is not a rate', decodeRebuild, { ...REBUILD, rate_bytes_per_second: 1.5 }],
  ['the rate is not a rate', decodeRebuild, { action: 'rate', of_cache: true }],
  ['of_cache is not true or false', decodeRebuild, { ...REBUILD, of_cache: 'yes' }],
  ['there is a rate without the action rate', decodeRebuild, { ...REBUILD, action: 'pause' }],
  ['the action is unknown', decodeCheck, { ...CHECK, action: 'toString' }],
  ['repair is not true or false', decodeCheck, { ...CHECK, repair: 1 }],
  ['only a check that starts can repair', decodeCheck, { ...CHECK, action: 'stop' }],
  ['dry_run is not true or false', decodeCheck, { ...CHECK, dry_run: undefined }],
  ['the action is unknown', decodeCache, { ...ATTACH, action: 'replace' }],
  ['devices is not a list', decodeCache, { ...ATTACH, devices: '/dev/a' }],
  ['a device is not a device', decodeCache, { ...ATTACH, devices: ['/dev/a', ''] }],
  ['the number of devices does not fit the action', decodeCache, { ...ATTACH, devices: [] }],
  ['the number of devices does not fit the action', decodeCache, { ...ATTACH, devices: THREE }],
  ['the number of devices does not fit the action', decodeCache, { ...DETACH, devices: ONE }],
  ['dry_run is not true or false', decodeCache, { ...DETACH, dry_run: 0 }],
  ['devices is no list', decodeCacheReply, { ...CACHE_REPLY, devices: [7] }],
  ['since is not a number', decodeEventsRequest, { ...EVENTS, since: -1 }],
  ['limit is not between 1 and 1000', decodeEventsRequest, { ...EVENTS, limit: 0 }],
  ['limit is not between 1 and 1000', decodeEventsRequest, { ...EVENTS, limit: 1001 }],
  ['wait_ms is not between 0 and 20000', decodeEventsRequest, { ...EVENTS, wait_ms: 20_001 }],
  ['the action is bad', decodeMemberReply, { ...MEMBER_REPLY, action: 'grow' }],
  ['of_cache is not true or false', decodeMemberReply, { ...MEMBER_REPLY, of_cache: 0 }],
  ['changed is not true or false', decodeMemberReply, { ...MEMBER_REPLY, changed: 0 }],
  ['device is not text', decodeMemberReply, { ...MEMBER_REPLY, device: 7 }],
  ['slot is not a slot', decodeMemberReply, { ...MEMBER_REPLY, slot: -1 }],
  ['the role is bad', decodeMemberReply, { ...MEMBER_REPLY, role: 'hot' }],
  ['the mode is bad', decodeMemberReply, { ...MEMBER_REPLY, mode: 'half' }],
  ['the health is missing', decodeMemberReply, { ...MEMBER_REPLY, health: null }],
  ['the activity is missing', decodeActivityReply, { ...ACTIVITY_REPLY, activity: {} }],
  ['limit_before is no rate', decodeActivityReply, { ...ACTIVITY_REPLY, limit_before: 'x' }],
  ['last or missed is not a number', decodeEventsReply, { ...EVENTS_REPLY, last: null }],
  ['the events are not a list', decodeEventsReply, { ...EVENTS_REPLY, events: {} }],
  ['an event is not an object', decodeEventsReply, { ...EVENTS_REPLY, events: [7] }],
];

for (const [why, decode, value] of BAD) {
  test(`${JSON.stringify(value).slice(0, 70)} is refused by ${decode.name}: ${why}`, (t) => {
    t.deepEqual(decode(value), { why });
  });
}

test('every field of an event is checked', (t) => {
  const cases: Record<string, readonly [value: unknown, why: string]> = {
    sequence: ['1', 'an event has no number'],
    time: ['yesterday', 'the time of an event is no time'],
    kind: [null, 'the kind of an event is missing'],
    stack: [1, 'the stack of an event is missing'],
    message: [undefined, 'the message of an event is missing'],
    severity: ['fatal', 'a severity is unknown'],
    reason: [7, 'the reason of an event is bad'],
    action: [{}, 'the action of an event is bad'],
    device: [7, 'the device of an event is bad'],
    slot: ['2', 'the slot of an event is no slot'],
    details: [null, 'the details of an event are missing'],
  };
  t.deepEqual(Object.keys(cases).sort(), Object.keys(eventOf(1)).sort());
  for (const [field, [value, why]] of Object.entries(cases)) {
    const events = [{ ...eventOf(1), [field]: value }];
    t.deepEqual(decodeEventsReply({ events, last: 1, missed: 0 }), { why });
  }
});

test('a request to export is taken as it is, or not at all', (t) => {
  const plain = {
    via: 'nbd',
    ublk_id: null,
    queues: null,
    depth: null,
    nbd: 'tcp:[::]:10809',
    read_only: false,
    insecure: true,
    tls: null,
  };
  const certificate = {
    kind: 'certificate',
    certificate: '/c',
    key: '/k',
    client_authority: null,
  };
  for (const tls of [
    null,
    certificate,
    { ...certificate, client_authority: '/a' },
    { kind: 'psk', keys: '/p' },
  ]) {
    t.deepEqual(decodeExportRequest({ ...plain, tls }), { value: { ...plain, tls } });
  }
  for (const tls of [
    true,
    {},
    { kind: 'psk', keys: 'p' },
    { ...certificate, certificate: './c' },
    { ...certificate, key: '' },
    { ...certificate, client_authority: 'a' },
    { kind: 'none' },
    { kind: 'psk' },
    { kind: 'psk', keys: 1 },
    { ...certificate, key: null },
    { ...certificate, certificate: undefined },
    { ...certificate, client_authority: 1 },
  ]) {
    t.deepEqual(decodeExportRequest({ ...plain, tls }), {
      why: 'tls names no files by absolute paths',
    });
  }
  t.deepEqual(decodeExportRequest({ ...plain, insecure: 1 }), {
    why: 'insecure is not true or false',
  });
  const { insecure: _, tls: __, ...older } = plain;
  t.deepEqual(decodeExportRequest(older), { value: { ...older, insecure: false, tls: null } });
  const { via, read_only } = plain;
  const nothing = { ublk_id: null, queues: null, depth: null, nbd: null, tls: null };
  t.deepEqual(decodeExportRequest({ via, read_only }), {
    value: { via, read_only, ...nothing, insecure: false },
  });
  for (const [key, [least, most]] of Object.entries(EXPORT_LIMITS)) {
    for (const number of [least, most])
      t.true('value' in decodeExportRequest({ ...plain, [key]: number }));
    for (const number of [least - 1, most + 1, 1.5, '1', true]) {
      t.deepEqual(decodeExportRequest({ ...plain, [key]: number }), {
        why: `${key} is not between ${least} and ${most}`,
      });
    }
  }
});

test('what may be null may be left out', (t) => {
  const nothing = { member_path: null, member_key: null };
  const { member, dry_run, device } = REPLACE;
  t.deepEqual(decodeMemberChange({ member, dry_run }), { value: { member, dry_run, ...nothing } });
  t.deepEqual(decodeMemberReplace({ member, dry_run, device }), {
    value: { member, dry_run, device, ...nothing },
  });
  const pause = { action: 'pause', of_cache: false } as const;
  t.deepEqual(decodeRebuild(pause), { value: { ...pause, rate_bytes_per_second: null } });
  t.deepEqual(decodeUnexportRequest({}), { value: { address: null } });
  t.deepEqual(decodeEventsRequest({}), { value: { since: 0, limit: 1000, wait_ms: 0 } });
});

test('an address that is no text is not taken for all exports', (t) => {
  t.deepEqual(decodeUnexportRequest({ address: '/dev/ublkb0' }), {
    value: { address: '/dev/ublkb0' },
  });
  for (const address of [0, 1, false, true, {}, ['/dev/ublkb0']]) {
    t.deepEqual(decodeUnexportRequest({ address }), { why: 'address is not text' });
  }
  for (const nothing of [null, undefined, 7, 'x', []]) {
    t.true('why' in decodeUnexportRequest(nothing), String(nothing));
  }
});

test('a param that a method does not have is told, unless it asks for nothing', (t) => {
  t.is(unknownParam('unexport', { adress: '/dev/ublkb0' }), 'adress');
  t.is(unknownParam('status', { constructor: 1 }), 'constructor');
  t.is(unknownParam('ping', JSON.parse('{"__proto__": {}}')), '__proto__');
  t.is(unknownParam('export', { via: 'nbd', later: null, another: false }), null);
  for (const [method, { params }] of Object.entries(METHODS)) {
    const all = Object.fromEntries(params.map((key) => [key, true]));
    t.is(unknownParam(method as keyof typeof METHODS, all), null);
    t.is(unknownParam(method as keyof typeof METHODS, { ...all, more: 0 }), 'more');
  }
});
