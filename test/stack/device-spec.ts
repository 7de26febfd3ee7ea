import path from 'node:path';
import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { absolutePaths, formatDeviceSpec, parseDeviceSpec } from '../../src/stack/device-spec.ts';

const UUID = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';

test('anything that is no form is a path, with all its characters', (t) => {
  for (const text of ['/dev/sdb', './null:1G', 'a,b', 'x(y)', 'a=b', '=', 'raid0', 'C:\\', 'ä b']) {
    t.deepEqual(parseDeviceSpec(text), { kind: 'path', path: text, uuid: null });
  }
});

test('a UUID after the last equals sign names the member', (t) => {
  t.deepEqual(parseDeviceSpec(`/dev/a=b=${UUID.toUpperCase()}`), {
    kind: 'path',
    path: '/dev/a=b',
    uuid: UUID,
  });
});

test('memory devices have a size', (t) => {
  t.deepEqual(parseDeviceSpec('null:1G'), { kind: 'null', bytes: 2 ** 30 });
  t.deepEqual(parseDeviceSpec('mem:64MiB'), { kind: 'mem', bytes: 2 ** 26 });
});

test('arrays and filters nest', (t) => {
  t.deepEqual(parseDeviceSpec('raid0(strip=64K,null:1G,error(mem:1M,op=read,times=2),/dev/x)'), {
    kind: 'array',
    level: 'raid0',
    stripBytes: 65536,
    members: [
      { kind: 'null', bytes: 2 ** 30 },
      {
        kind: 'error',
        child: { kind: 'mem', bytes: 2 ** 20 },
        options: { op: 'read', times: '2' },
      },
      { kind: 'path', path: '/dev/x', uuid: null },
    ],
  });
});

test('a quoted path may contain what separates', (t) => {
  t.deepEqual(parseDeviceSpec(`raid1("/a,b(c)"=${UUID},/d)`), {
    kind: 'array',
    level: 'raid1',
    stripBytes: null,
    members: [
      { kind: 'path', path: '/a,b(c)', uuid: UUID },
      { kind: 'path', path: '/d', uuid: null },
    ],
  });
});

test('what is printed parses to the same', (t) => {
  for (const text of [
    '/dev/sdb',
    `/dev/sdb=${UUID}`,
    'raid5f(strip=65536,mem:1048576,mem:1048576,delay(/dev/x,min=1ms,max=2ms))',
    'raid1("/a,b",/c)',
  ]) {
    t.is(formatDeviceSpec(parseDeviceSpec(text)), text);
  }
});

test('paths become absolute at every depth', (t) => {
  const spec = absolutePaths(parseDeviceSpec('raid1(a.img,error(b.img))'));
  t.is(formatDeviceSpec(spec), `raid1(${path.resolve('a.img')},error(${path.resolve('b.img')}))`);
});

const BAD: readonly (readonly [text: string, character: number, why: string])[] = [
  ['', 1, 'it is empty'],
  ['null:x', 6, "'x' is not a size"],
  ['mem:0', 5, "'0' is not a size"],
  ['mem:4KB', 5, "'4KB' is not a size"],
  ['raid0(', 7, 'a device is missing'],
  ['raid0(/a', 9, 'a comma or a closing parenthesis is missing'],
  ['raid0(/a,)', 10, 'a device is missing'],
  ['raid0(/a))', 10, "')' is left over"],
  ['raid0(strip=0,/a)', 13, "the strip '0' is not a size"],
  ['raid0(strip=64K)', 16, 'raid0 has no members'],
  ['raid1(foo(/a),/b)', 7, "'foo(' is no form of device"],
  ['error(/a,read)', 10, 'an option of error is not key=value'],
  ['error(/a,op=read,op=write)', 18, 'op is given twice'],
  ['raid1("/a,/b)', 7, 'the closing quote is missing'],
  ['raid1(""/a)', 7, 'a path is empty'],
  ['raid1("/a"x,/b)', 11, "'x' is left over"],
];

for (const [text, character, why] of BAD) {
  test(`'${text}' is refused at character ${character}: ${why}`, (t) => {
    const error = t.throws(() => parseDeviceSpec(text)) as BandstandError;
    t.is(error.code, 'BANDSTAND_DEVICE_INVALID');
    t.is(
      error.message,
      `cannot understand the device '${text}': at character ${character}: ${why}`,
    );
    t.is(error.exitStatus, 1);
  });
}

test('nesting is limited', (t) => {
  const deep = `${'error('.repeat(20)}/a${')'.repeat(20)}`;
  t.throws(() => parseDeviceSpec(deep), { message: /it is nested deeper than 8$/ });
});
