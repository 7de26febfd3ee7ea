import test from 'ava';
import { matchExport } from '../../src/cli/match-export.ts';
import type { ExportRequest } from '../../src/control/schema.ts';

const ASKED: ExportRequest = {
  via: 'auto',
  ublk_id: null,
  queues: null,
  depth: null,
  nbd: null,
  read_only: false,
  insecure: false,
  tls: null,
};
const KEYS = { kind: 'psk', keys: '/etc/keys.psk' } as const;

const UBLK = {
  listen: null,
  status: { kind: 'ublk', address: '/dev/ublkb3', read_only: false, size_bytes: 4096 },
} as const;
const TCP = {
  listen: 'tcp:127.0.0.1:10809',
  status: { kind: 'nbd', address: 'nbds://127.0.0.1/tank', read_only: true, size_bytes: 4096 },
} as const;
const SOCKET = {
  listen: 'unix:/run/tank.nbd',
  status: { kind: 'nbd', address: 'nbd+unix:///tank', read_only: false, size_bytes: 4096 },
} as const;
const ALL = [UBLK, TCP, SOCKET];

function found(change: Partial<ExportRequest>, exports: readonly (typeof ALL)[number][] = ALL) {
  const match = matchExport(exports, { ...ASKED, ...change });
  return match.kind === 'none' ? 'none' : [match.kind, match.found];
}

test('without exports there is none that is asked for', (t) => {
  t.is(found({}, []), 'none');
});

test('who names nothing gets the first of their mode, or hears of one of another', (t) => {
  t.deepEqual(found({}), ['found', UBLK]);
  t.deepEqual(found({ read_only: true }), ['found', TCP]);
  t.deepEqual(found({ read_only: true }, [UBLK]), ['other', UBLK]);
  t.deepEqual(found({}, [TCP]), ['other', TCP]);
});

test('a way that there is none of yet is another export', (t) => {
  t.is(found({ via: 'ublk' }, [TCP, SOCKET]), 'none');
  t.is(found({ via: 'nbd' }, [UBLK]), 'none');
  t.deepEqual(found({ via: 'nbd' }), ['found', SOCKET]);
});

test('an address is one export, whatever else there is', (t) => {
  t.deepEqual(found({ nbd: 'unix:/run/tank.nbd' }), ['found', SOCKET]);
  t.is(found({ nbd: 'unix:/run/other.nbd' }), 'none');
  t.deepEqual(found({ nbd: 'tcp:127.0.0.1:10809' }), ['other', TCP]);
  t.deepEqual(found({ nbd: 'tcp:127.0.0.1:10809', read_only: true }), ['found', TCP]);
});

test('TLS and the number of a device are part of the mode', (t) => {
  t.deepEqual(found({ nbd: 'unix:/run/tank.nbd', tls: KEYS }), ['other', SOCKET]);
  t.deepEqual(found({ nbd: 'tcp:127.0.0.1:10809', read_only: true, tls: KEYS }), ['found', TCP]);
  t.deepEqual(found({ ublk_id: 3 }), ['found', UBLK]);
  t.deepEqual(found({ via: 'ublk', ublk_id: 4 }), ['other', UBLK]);
});
