import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { ECANCELED } from '../../src/block/status.ts';
import { loadAddon } from '../../src/native/load.ts';
import { result, withReactor } from '../_helpers/ring-reactor.ts';

const native = loadAddon();
const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

test.serial('reads and writes carry position, length, token and handler', (t) =>
  withReactor(async (reactor) => {
    const file = path.join(folder, 'transfer');
    writeFileSync(
      file,
      Uint8Array.from({ length: 10_000 }, (_, index) => index % 251),
    );
    const fd = openSync(file, 'r+');
    const slot = reactor.registerFile(fd);
    const at = reactor.arena.allocate(8192);
    const seen: number[][] = [];
    await reactor.drive(
      new Promise<void>((resolve) => {
        const handlerId = reactor.registerHandler({
          ringComplete(token, value) {
            seen.push([token, value]);
            if (seen.length === 2) resolve();
          },
        });
        reactor.readAt(slot, 1000, at, 500, handlerId, 0xfffffffe);
        reactor.readAt(slot, 9_900, at + 4096, 4096, handlerId, 7);
      }),
    );
    seen.sort((a, b) => a[0]! - b[0]!);
    t.deepEqual(seen, [
      [7, 100],
      [0xfffffffe, 500],
    ]);
    t.is(reactor.arena.u8[at], 1000 % 251);
    t.is(reactor.arena.u8[at + 499], 1499 % 251);
    reactor.arena.u8.fill(0xee, at, at + 512);
    t.is(
      await reactor.drive(result(reactor, (id) => reactor.writeAt(slot, 2000, at, 512, 2, id, 0))),
      512,
    );
    t.is(await reactor.drive(result(reactor, (id) => reactor.syncData(slot, id, 0))), 0);
    const content = readFileSync(file);
    t.true(content.subarray(2000, 2512).every((byte) => byte === 0xee));
    t.is(content[1999], 1999 % 251);
    t.is(content[2512], 2512 % 251);
    reactor.unregisterFile(slot);
    closeSync(fd);
  }),
);

test.serial('positions above 4 GiB and the end of the arena are exact', (t) =>
  withReactor(async (reactor) => {
    const file = path.join(folder, 'sparse');
    const fd = openSync(file, 'w+');
    const slot = reactor.registerFile(fd);
    const position = 5 * 2 ** 32 + 12345;
    const at = reactor.arena.bytes - 100;
    reactor.arena.u8.fill(0x42, at);
    const write = (id: number): void => reactor.writeAt(slot, position, at, 100, 0, id, 0);
    t.is(await reactor.drive(result(reactor, write)), 100);
    reactor.arena.u8.fill(0, at);
    const read = (id: number): void => reactor.readAt(slot, position + 50, at, 100, id, 0);
    t.is(await reactor.drive(result(reactor, read)), 50);
    t.deepEqual([...reactor.arena.u8.subarray(at + 48, at + 52)], [0x42, 0x42, 0, 0]);
    t.throws(() => reactor.readAt(slot, 0, at, 101, 0, 0), { name: 'InvariantError' });
    closeSync(fd);
  }),
);

test.serial('a burst beyond both queues completes, each operation once', (t) =>
  withReactor(
    async (reactor) => {
      const file = path.join(folder, 'burst');
      writeFileSync(
        file,
        Uint8Array.from({ length: 4096 }, (_, index) => index & 255),
      );
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const count = 5000;
      const at = reactor.arena.allocate(count);
      reactor.arena.u8.fill(0xff, at, at + count);
      const seen = new Uint8Array(count);
      let left = count;
      await reactor.drive(
        new Promise<void>((resolve) => {
          const handlerId = reactor.registerHandler({
            ringComplete(token, value) {
              t.is(value, 1);
              seen[token]! += 1;
              left -= 1;
              if (left === 0) resolve();
            },
          });
          for (let token = 0; token < count; token += 1) {
            reactor.readAt(slot, token % 4096, at + token, 1, handlerId, token);
          }
        }),
      );
      t.true(seen.every((times) => times === 1));
      for (let token = 0; token < count; token += 1) {
        if (reactor.arena.u8[at + token] !== ((token % 4096) & 255)) t.fail(`byte ${token}`);
      }
      closeSync(fd);
    },
    { entries: 8, cqEntries: 16 },
  ),
);

test.serial('a completion that submits keeps the ring full without loss', (t) =>
  withReactor(
    async (reactor) => {
      const file = path.join(folder, 'chain');
      writeFileSync(file, new Uint8Array(4096));
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const at = reactor.arena.allocate(4096);
      let submitted = 0;
      let completed = 0;
      await reactor.drive(
        new Promise<void>((resolve) => {
          const handlerId = reactor.registerHandler({
            ringComplete() {
              completed += 1;
              for (let more = 0; more < 3 && submitted < 4000; more += 1) submit();
              if (completed === 4000) resolve();
            },
          });
          const submit = (): void => {
            submitted += 1;
            reactor.readAt(slot, 0, at, 512, handlerId, submitted);
          };
          submit();
        }),
      );
      t.is(submitted, 4000);
      t.is(completed, 4000);
      closeSync(fd);
    },
    { entries: 4, cqEntries: 8 },
  ),
);

test.serial('a cancelled request completes as cancelled', (t) =>
  withReactor(async (reactor) => {
    const fd = native.eventfd();
    const slot = reactor.registerFile(fd);
    const at = reactor.arena.allocate(64);
    const status = await reactor.drive(
      result(reactor, (handlerId) => {
        reactor.readAt(slot, 0, at, 8, handlerId, 99);
        reactor.cancelRequest(handlerId, 99);
      }),
    );
    t.is(status, -ECANCELED);
    native.fileClose(fd);
  }),
);

test.serial('poll, send, receive and shutdown work on a socket pair', (t) =>
  withReactor(async (reactor) => {
    const [a, b] = native.socketPair();
    const [slotA, slotB] = [reactor.registerFile(a), reactor.registerFile(b)];
    const at = reactor.arena.allocate(4096);
    reactor.arena.u8.set([1, 2, 3, 4], at);
    const readable = result(reactor, (id) => reactor.poll(slotB, 1, id, 0));
    t.is(await reactor.drive(result(reactor, (id) => reactor.send(slotA, at, 4, 0, id, 0))), 4);
    t.is((await reactor.drive(readable)) & 1, 1);
    const receive = (id: number): void => reactor.receive(slotB, at + 100, 100, 0, id, 0);
    t.is(await reactor.drive(result(reactor, receive)), 4);
    t.deepEqual([...reactor.arena.u8.subarray(at + 100, at + 104)], [1, 2, 3, 4]);
    t.is(await reactor.drive(result(reactor, (id) => reactor.shutdown(slotA, 1, id, 0))), 0);
    t.is(await reactor.drive(result(reactor, receive)), 0);
    native.fileClose(a);
    native.fileClose(b);
  }),
);

test.serial('sendMessage sends what the message header in the arena points to', (t) =>
  withReactor(async (reactor) => {
    const [a, b] = native.socketPair();
    const slotA = reactor.registerFile(a);
    const slotB = reactor.registerFile(b);
    const { arena } = reactor;
    const at = arena.allocate(4096);
    arena.u8.set([9, 8, 7], at);
    arena.u8.set([6, 5], at + 512);
    arena.u8.fill(0, at + 1024, at + 2048);
    // struct iovec × 2 at 1024, struct msghdr at 1536: msg_iov at 16, msg_iovlen at 24.
    arena.view.setBigUint64(at + 1024, BigInt(arena.address + at), true);
    arena.view.setBigUint64(at + 1032, 3n, true);
    arena.view.setBigUint64(at + 1040, BigInt(arena.address + at + 512), true);
    arena.view.setBigUint64(at + 1048, 2n, true);
    arena.view.setBigUint64(at + 1536 + 16, BigInt(arena.address + at + 1024), true);
    arena.view.setBigUint64(at + 1536 + 24, 2n, true);
    const send = (id: number): void => reactor.sendMessage(slotA, at + 1536, 0, id, 0);
    t.is(await reactor.drive(result(reactor, send)), 5);
    const receive = (id: number): void => reactor.receive(slotB, at + 3000, 64, 0, id, 0);
    t.is(await reactor.drive(result(reactor, receive)), 5);
    t.deepEqual([...arena.u8.subarray(at + 3000, at + 3005)], [9, 8, 7, 6, 5]);
    native.fileClose(a);
    native.fileClose(b);
  }),
);

test.serial('accept gives a descriptor of the new connection', (t) =>
  withReactor(async (reactor) => {
    const address = path.join(folder, 'listen');
    const listener = native.socketListenUnix(address, 0o600, 4);
    const slot = reactor.registerFile(listener);
    const accepted = result(reactor, (id) => reactor.accept(slot, id, 0));
    const { connect } = await import('node:net');
    const client = connect(address);
    const fd = await reactor.drive(accepted);
    t.true(fd > 0);
    client.destroy();
    native.fileClose(fd);
    native.fileClose(listener);
  }),
);

test.serial('the registered file table says when it is full, and slots come back', (t) =>
  withReactor(
    async (reactor) => {
      if (!reactor.stats.files_registered) {
        t.pass('this kernel has no file table');
        return;
      }
      const fd = openSync('/dev/null', 'r');
      const slots = [0, 1, 2, 3].map(() => reactor.registerFile(fd));
      t.is(new Set(slots).size, 4);
      t.throws(() => reactor.registerFile(fd), {
        code: 'BANDSTAND_URING_FAILED',
        message: 'cannot register a file with the io_uring of this process: all 4 slots are taken',
      });
      reactor.unregisterFile(slots[1]!);
      t.is(reactor.registerFile(fd), slots[1]!);
      // Files that may wait are not in the table, and so cannot fill it.
      t.notThrows(() => reactor.registerFile(fd, true));
      closeSync(fd);
    },
    { fileSlots: 4 },
  ),
);

test.serial('an arena that must not be registered is used without', (t) =>
  withReactor(
    async (reactor) => {
      t.false(reactor.stats.arena_registered);
      t.false(reactor.stats.files_registered);
      const file = path.join(folder, 'plain');
      writeFileSync(file, 'plain');
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const at = reactor.arena.allocate(64);
      const read = (id: number): void => reactor.readAt(slot, 0, at, 5, id, 0);
      t.is(await reactor.drive(result(reactor, read)), 5);
      t.is(Buffer.from(reactor.arena.u8.subarray(at, at + 5)).toString(), 'plain');
      reactor.unregisterFile(slot);
      closeSync(fd);
    },
    {
      native: {
        ...native,
        ringRegisterBuffers: () => -12,
        ringRegisterFileTable: () => -24,
      },
    },
  ),
);
