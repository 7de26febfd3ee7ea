/** Any spelling that we print names a member; what names several lists them. */

import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { type MemberCandidate, resolveMember } from '../../src/stack/member-reference.ts';

const MEMBERS: readonly MemberCandidate[] = [
  {
    slotPrefix: '',
    slot: 0,
    uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
    device: '/dev/nvme0n1',
    health: 'ok',
  },
  {
    slotPrefix: '',
    slot: 1,
    uuid: '5f0c9d1e-71c3-4c36-9d0e-2f6f3a1b8c45',
    device: '/srv/a/disk.img',
    health: 'ok',
  },
  {
    slotPrefix: '',
    slot: 2,
    uuid: '12345678-1111-4111-8111-111111111111',
    device: null,
    health: 'missing',
  },
  {
    slotPrefix: '',
    slot: null,
    uuid: '00000009-0000-4000-8000-000000000009',
    device: '/srv/b/disk.img',
    health: 'spare',
  },
  {
    slotPrefix: '',
    slot: 0,
    uuid: '7777aaaa-0000-4000-8000-000000000009',
    device: '/dev/nvme7n1',
    health: 'rebuilding',
    beside: 'target',
  },
];

const KEYS: Record<string, string> = { '/dev/nvme0n1': '259:0', '/srv/a/disk.img': 'file:1:2' };

function resolve(word: string, path: string | null = null, key: string | null = null) {
  const reference = { member: word, member_path: path, member_key: key };
  const what = { verb: 'fail', name: 'tank' };
  return resolveMember(what, reference, MEMBERS, (device) => KEYS[device] ?? null);
}

test('a slot, a UUID in any case, a path, a name in /dev', (t) => {
  t.is(resolve('1'), MEMBERS[1]);
  t.is(resolve('0'), MEMBERS[0], 'not the device that is filled for it');
  t.is(resolve('12345678-1111-4111-8111-111111111111'), MEMBERS[2]);
  t.is(resolve('12345678-1111-4111-8111-111111111111'.toUpperCase()), MEMBERS[2]);
  t.is(resolve('/dev/nvme0n1'), MEMBERS[0]);
  t.is(resolve('nvme0n1'), MEMBERS[0]);
  t.is(resolve('/dev/nvme7n1'), MEMBERS[4]);
});

test('the path that the word means where the command runs', (t) => {
  t.is(resolve('disk.img', '/srv/b/disk.img'), MEMBERS[3]);
  t.is(resolve('../a/disk.img', '/srv/a/disk.img'), MEMBERS[1]);
});

test('another name of the same device, by its identity', (t) => {
  const link = '/dev/disk/by-id/nvme-WDC_SN840_0042';
  t.is(resolve(link, link, '259:0'), MEMBERS[0]);
  t.is(resolve('hardlink', '/srv/hardlink', 'file:1:2'), MEMBERS[1]);
});

test('eight digits of a UUID, with dashes or without, when only one begins so', (t) => {
  t.is(resolve('12345678'), MEMBERS[2]);
  t.is(resolve('5f0c9d1e-71c3'), MEMBERS[1]);
  t.is(resolve('5F0C9D1E71C2'), MEMBERS[0]);
  const seven = t.throws(() => resolve('1234567')) as BandstandError;
  t.is(seven.code, 'BANDSTAND_MEMBER_NOT_FOUND');
});

test('an ambiguous word lists the candidates', (t) => {
  const error = t.throws(() => resolve('5f0c9d1e')) as BandstandError;
  t.is(error.code, 'BANDSTAND_MEMBER_AMBIGUOUS');
  t.is(
    error.message,
    "cannot fail '5f0c9d1e': 2 members of tank are called so: slot 0, /dev/nvme0n1; slot 1, /srv/a/disk.img",
  );
  t.is(error.hint, 'name its slot or its whole path');
  const both = t.throws(() => resolve('disk.img', '/elsewhere/disk.img')) as BandstandError;
  t.is(both.code, 'BANDSTAND_MEMBER_AMBIGUOUS');
});

test('a word that names nothing is an error that lists what there is', (t) => {
  const error = t.throws(() => resolve('sdz')) as BandstandError;
  t.is(error.code, 'BANDSTAND_MEMBER_NOT_FOUND');
  t.is(
    error.message,
    "cannot fail 'sdz': tank has no such member; it has slot 0, /dev/nvme0n1; slot 1, /srv/a/disk.img; slot 2, 12345678-1111-4111-8111-111111111111 (not here); spare /srv/b/disk.img; copy of slot 0, /dev/nvme7n1",
  );
  for (const word of ['3', '-1', '00', 'null', '/dev', '']) {
    t.throws(() => resolve(word), undefined, word);
  }
});
