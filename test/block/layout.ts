import test from 'ava';
import { firstNonZero, Layout } from '../../src/block/layout.ts';

const layout = new Layout('example', 40, [
  { name: 'a', offset: 0, bytes: 1, type: 'u8', meaning: 'one' },
  { name: 'b', offset: 1, bytes: 2, type: 'u16', meaning: 'two' },
  { name: 'gap', offset: 3, bytes: 1, type: 'zero', meaning: 'zero' },
  { name: 'c', offset: 4, bytes: 4, type: 'u32', meaning: 'four' },
  { name: 'd', offset: 8, bytes: 8, type: 'u64', meaning: 'eight' },
  { name: 'id', offset: 16, bytes: 16, type: 'uuid', meaning: 'sixteen' },
  { name: 'text', offset: 32, bytes: 8, type: 'bytes', meaning: 'eight' },
]);

const values = {
  a: 0xfe,
  b: 0x1234,
  c: 0xdeadbeef,
  d: 2n ** 63n + 5n,
  id: '00112233-4455-6677-8899-aabbccddeeff',
  text: new Uint8Array([1, 2, 3]),
};

test('fields are written little-endian at their offsets, short ones padded', (t) => {
  const bytes = new Uint8Array(41).fill(0xaa);
  layout.encode(values, bytes, 1);
  t.is(
    Buffer.from(bytes).toString('hex'),
    `aafe341200efbeadde050000000000008000112233445566778899aabbccddeeff0102030000000000`,
  );
});

test('what was encoded is decoded', (t) => {
  const bytes = new Uint8Array(50);
  layout.encode(values, bytes, 10);
  t.deepEqual(layout.decode(bytes, 10), {
    ...values,
    gap: new Uint8Array(1),
    text: new Uint8Array([1, 2, 3, 0, 0, 0, 0, 0]),
  });
});

test('json keeps every field: wide integers as text, bytes as hex', (t) => {
  const bytes = new Uint8Array(40);
  layout.encode({ ...values, d: 2 ** 50 }, bytes);
  t.deepEqual(layout.json(layout.decode(bytes)), {
    a: 0xfe,
    b: 0x1234,
    gap: '00',
    c: 0xdeadbeef,
    d: 2 ** 50,
    id: values.id,
    text: '0102030000000000',
  });
  layout.encode(values, bytes);
  t.is(layout.json(layout.decode(bytes))['d'], '9223372036854775813');
});

test('gaps, overlaps, wrong sizes and values that do not fit are refused', (t) => {
  const field = (name: string, offset: number, bytes: number) =>
    ({ name, offset, bytes, type: 'u32', meaning: 'x' }) as const;
  t.throws(() => new Layout('x', 12, [field('a', 0, 4), field('b', 8, 4)]), {
    message: 'invariant broken: field b of x starts where the last one ends',
  });
  t.throws(() => new Layout('x', 7, [field('a', 0, 4), field('b', 3, 4)]), {
    message: 'invariant broken: field b of x starts where the last one ends',
  });
  t.throws(() => new Layout('x', 3, [field('a', 0, 3)]), {
    message: 'invariant broken: field a of x has the size of its type',
  });
  t.throws(() => new Layout('x', 8, [field('a', 0, 4)]), {
    message: 'invariant broken: the fields of x fill it',
  });
  const bytes = new Uint8Array(40);
  for (const wrong of [{ a: 256 }, { b: -1 }, { c: 1.5 }, { d: -1n }, { d: 2 ** 53 }]) {
    const [name] = Object.keys(wrong);
    t.throws(() => layout.encode({ ...values, ...wrong }, bytes), {
      message: `invariant broken: the value of ${name} fits into its field`,
    });
  }
  t.throws(() => layout.encode({ ...values, text: new Uint8Array(9) }, bytes));
  t.throws(() => layout.decode(bytes, 1));
});

test('markdown has one row per field', (t) => {
  const lines = layout.markdown().split('\n');
  t.is(lines.length, 2 + layout.fields.length);
  t.is(lines[3], '| 1 | 2 | u16 | `b` | two |');
});

test('the first byte that is not zero is found', (t) => {
  t.is(firstNonZero(new Uint8Array(9)), -1);
  t.is(firstNonZero(Uint8Array.of(0, 0, 3)), 2);
});
