/**
 * What a negotiation says before, at and after the begin of TLS; without a byte of TLS.
 */

import test from 'ava';
import { OPTION_DATA_BYTES_MAX } from '../../../src/exporter/nbd/negotiation.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import type { FakePeer } from '../../_helpers/fake-ring.ts';
import { contextQuery, infoQuery, NbdClient } from '../../_helpers/nbd-client.ts';
import { NbdFixture, type NbdFixtureOptions, pattern } from '../../_helpers/nbd-fixture.ts';

const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3]);

function optionBytes(option: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** An export that requires TLS; a test plays the terminator. */
class TlsFixture {
  readonly fixture: NbdFixture;
  /** Descriptors that were given away: the client's, and the end of the pair. */
  readonly handed: [number, number][];
  readonly #counts: { ends: number; left: number[] };

  private constructor(
    fixture: NbdFixture,
    handed: [number, number][],
    counts: { ends: number; left: number[] },
  ) {
    this.fixture = fixture;
    this.handed = handed;
    this.#counts = counts;
  }

  static async start(options: NbdFixtureOptions = {}): Promise<TlsFixture> {
    const handed: [number, number][] = [];
    const counts = { ends: 0, left: [] as number[] };
    const tls = {
      secure: (clientFd: number, plainFd: number) => {
        return handed.push([clientFd, plainFd]);
      },
      left: (client: number) => {
        counts.left.push(client);
      },
      end: () => {
        counts.ends += 1;
      },
    };
    const exporter = { ...options.exporter, tls };
    return new TlsFixture(await NbdFixture.start({ ...options, exporter }), handed, counts);
  }

  get ends(): number {
    return this.#counts.ends;
  }

  /** Clients whose pair is closed, by the number in `handed` counted from 1. */
  get left(): readonly number[] {
    return this.#counts.left;
  }

  /** A client that has its greeting and has sent its flags. */
  greeted(): FakePeer {
    const peer = this.fixture.peer();
    this.fixture.ring.settle();
    peer.take();
    peer.write(CLIENT_FLAGS);
    return peer;
  }

  /** Sends an option; the types of the replies. */
  ask(peer: FakePeer, option: number, data?: Uint8Array): number[] {
    peer.write(optionBytes(option, data));
    this.fixture.ring.settle();
    const output = peer.take();
    const types: number[] = [];
    for (let at = 0; at < output.length; at += 20 + output.readUInt32BE(at + 16)) {
      types.push(output.readUInt32BE(at + 12));
    }
    return types;
  }

  /** What the terminator has at its end of the pair, after the client has asked for TLS. */
  begin(peer: FakePeer): FakePeer {
    const before = this.handed.length;
    const types = this.ask(peer, nbd.OPT_STARTTLS);
    if (types.length !== 1 || types[0] !== nbd.REP_ACK) throw new Error(`answered with ${types}`);
    const [clientFd, plainFd] = this.handed[before]!;
    if (this.fixture.ring.adoptClient(clientFd) !== peer) throw new Error('another client');
    return this.fixture.ring.adopt(plainFd);
  }
}

test('before TLS every option but STARTTLS and ABORT is refused, whatever is in it', async (t) => {
  const tls = await TlsFixture.start();
  const peer = tls.greeted();
  for (const [option, data] of [
    [nbd.OPT_LIST],
    [nbd.OPT_INFO, infoQuery('disk', [])],
    [nbd.OPT_GO, infoQuery('', [nbd.INFO_BLOCK_SIZE])],
    [nbd.OPT_GO, Buffer.alloc(3)],
    [nbd.OPT_STRUCTURED_REPLY],
    [nbd.OPT_SET_META_CONTEXT, contextQuery('', ['base:allocation'])],
    [nbd.OPT_LIST_META_CONTEXT, contextQuery('', [])],
    [4],
    [11],
    [0xffff_ffff, Buffer.alloc(OPTION_DATA_BYTES_MAX)],
    [nbd.OPT_LIST, Buffer.alloc(OPTION_DATA_BYTES_MAX + 1)],
  ] as const) {
    t.deepEqual(tls.ask(peer, option, data), [nbd.REP_ERR_TLS_REQD], `option ${option}`);
  }
  t.deepEqual(tls.ask(peer, nbd.OPT_STARTTLS, Buffer.alloc(1)), [nbd.REP_ERR_INVALID]);
  t.deepEqual(tls.handed, []);
  t.deepEqual(tls.ask(peer, nbd.OPT_ABORT), [nbd.REP_ACK]);
  t.true(peer.serverClosed);
  t.deepEqual(tls.fixture.closed, [null]);
  await tls.fixture.stop(t);
});

test('EXPORT_NAME before TLS ends the connection, because it has no error reply', async (t) => {
  const tls = await TlsFixture.start();
  const peer = tls.greeted();
  t.deepEqual(tls.ask(peer, nbd.OPT_EXPORT_NAME, Buffer.from('disk')), []);
  t.true(peer.serverClosed);
  t.deepEqual(tls.fixture.closed, ['the client does not use TLS']);
  await tls.fixture.stop(t);
});

test('after STARTTLS the handshake and the data go through the other end', async (t) => {
  for (const fragment of [false, true]) {
    const tls = await TlsFixture.start({ fragment });
    const { fixture } = tls;
    const peer = tls.greeted();
    const plain = tls.begin(peer);
    t.is(fixture.exporter.statistics.connections_open, 1);
    t.deepEqual(tls.ask(plain, nbd.OPT_STARTTLS), [nbd.REP_ERR_INVALID], 'it is in use already');
    const client = new NbdClient(plain.stream());
    await fixture.drive(client.requestStructuredReplies());
    t.true(await fixture.drive(client.selectAllocation('')));
    await fixture.drive(client.go(''));
    const data = pattern(300 * 4096, 1);
    await fixture.drive(client.write(4096, data));
    t.true((await fixture.drive(client.read(4096, data.length))).equals(data));
    await fixture.drive(client.disconnect());
    t.is(peer.received.length, 0, 'nothing but TLS goes to the client itself');
    t.false(peer.serverClosed, 'closing it is the terminator’s');
    t.deepEqual(fixture.closed, [null]);
    await fixture.stop(t);
    t.is(tls.ends, 1);
    t.deepEqual(tls.left, [1]);
  }
});

test('nothing that was asked for before TLS is in force behind it', async (t) => {
  const tls = await TlsFixture.start();
  const { fixture } = tls;
  const peer = tls.greeted();
  tls.ask(peer, nbd.OPT_STRUCTURED_REPLY);
  tls.ask(peer, nbd.OPT_SET_META_CONTEXT, contextQuery('', ['base:allocation']));
  const plain = tls.begin(peer);
  const client = new NbdClient(plain.stream());
  await fixture.drive(client.go('', false));
  t.is(client.transmissionFlags & nbd.TRANSMIT_DF, 0, 'replies are simple');
  t.is(await fixture.errorOf(client.blockStatus(0, 4096)), nbd.NBD_EINVAL);
  client.destroy();
  await fixture.stop(t);
});

test('bytes behind STARTTLS that came before its answer end the connection', async (t) => {
  for (const more of [Buffer.from([0x16]), optionBytes(nbd.OPT_GO, infoQuery('', []))]) {
    const tls = await TlsFixture.start();
    const peer = tls.greeted();
    peer.write(Buffer.concat([optionBytes(nbd.OPT_STARTTLS), more]));
    tls.fixture.ring.settle();
    t.true(peer.serverClosed);
    t.deepEqual(tls.handed, []);
    t.deepEqual(tls.fixture.closed, ['the client did not wait for the answer to STARTTLS']);
    await tls.fixture.stop(t);
  }
});

test('options before STARTTLS may come all at once, and none is lost or taken twice', async (t) => {
  const tls = await TlsFixture.start();
  const peer = tls.fixture.peer();
  peer.write(
    Buffer.concat([
      CLIENT_FLAGS,
      optionBytes(nbd.OPT_LIST),
      optionBytes(nbd.OPT_STRUCTURED_REPLY),
      optionBytes(nbd.OPT_STARTTLS),
    ]),
  );
  tls.fixture.ring.settle();
  t.is(tls.handed.length, 1);
  const [clientFd, plainFd] = tls.handed[0]!;
  tls.fixture.ring.adoptClient(clientFd);
  const plain = tls.fixture.ring.adopt(plainFd);
  // What the client says next is for the terminator alone.
  peer.write(Buffer.from('TLS'));
  tls.fixture.ring.settle();
  t.is(peer.toServer.length, 3);
  plain.end();
  tls.fixture.ring.settle();
  t.deepEqual(tls.fixture.closed, ['the client left during the handshake']);
  await tls.fixture.stop(t);
});

test('TLS and what follows it has the time of one handshake', async (t) => {
  const tls = await TlsFixture.start({ exporter: { handshakeTimeoutMs: 1000 } });
  const peer = tls.greeted();
  tls.fixture.ring.pass(900_000);
  const plain = tls.begin(peer);
  tls.fixture.ring.pass(90_000);
  t.false(plain.serverClosed);
  tls.fixture.ring.pass(20_000);
  t.true(plain.serverClosed, 'which the terminator sees as the end of the pair');
  t.deepEqual(tls.fixture.closed, ['the handshake took too long']);
  t.deepEqual(tls.left, [1]);
  await tls.fixture.stop(t);
});

test('stop ends clients that are amid TLS', async (t) => {
  const tls = await TlsFixture.start();
  const plain = tls.begin(tls.greeted());
  await tls.fixture.stop(t);
  t.true(plain.serverClosed);
  t.is(tls.ends, 1);
  t.deepEqual(tls.left, [1]);
});

test('a machine out of descriptors loses that client only', async (t) => {
  const tls = await TlsFixture.start();
  const { ring } = tls.fixture;
  const { socketPair } = ring.native;
  ring.native.socketPair = () => {
    throw new Error('socketpair: too many open files');
  };
  const peer = tls.greeted();
  t.deepEqual(tls.ask(peer, nbd.OPT_STARTTLS), [nbd.REP_ACK]);
  t.true(peer.serverClosed);
  t.deepEqual(tls.fixture.closed, [
    'cannot make a pair of sockets: socketpair: too many open files',
  ]);
  ring.native.socketPair = socketPair;
  t.deepEqual(tls.left, []);
  const plain = tls.begin(tls.greeted());
  plain.end();
  ring.settle();
  await tls.fixture.stop(t);
});
