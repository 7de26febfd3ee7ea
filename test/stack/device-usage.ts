import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { BandstandError, ErrorCode } from '../../src/block/errors.ts';
import { identifyDevice } from '../../src/stack/device-usage.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const within = (name: string): string => path.join(folder, name);

test('a device is what all names of it lead to', (t) => {
  writeFileSync(within('disk'), '');
  symlinkSync('disk', within('link'));
  const [disk, link] = [identifyDevice(within('disk')), identifyDevice(within('link'))];
  t.is(link.key, disk.key);
  t.is(link.realPath, disk.realPath);
  t.like(link, { kind: 'file', path: within('link') });
});

const REFUSED: readonly (readonly [what: string, name: string, code: ErrorCode, why: RegExp])[] = [
  ['that is not there', 'none', 'BANDSTAND_DEVICE_MISSING', /there is no such device or file$/],
  ['below a file', 'file/disk', 'BANDSTAND_DEVICE_MISSING', /there is no such device or file$/],
  ['of links in a circle', 'circle', 'BANDSTAND_DEVICE_INVALID', /symbolic links .*\(ELOOP\)$/],
  ['with too long a name', 'x'.repeat(300), 'BANDSTAND_DEVICE_INVALID', /\(ENAMETOOLONG\)$/],
  ['that is a directory', '.', 'BANDSTAND_DEVICE_INVALID', /it is a directory$/],
];

for (const [what, name, code, why] of REFUSED) {
  test(`a path ${what} is refused for that`, (t) => {
    writeFileSync(within('file'), '');
    if (name === 'circle') symlinkSync('circle', within('circle'));
    const error = t.throws<BandstandError>(() => identifyDevice(within(name)));
    t.is(error.code, code);
    t.true(error.message.startsWith(`cannot use ${within(name)}: `));
    t.regex(error.message, why);
    t.not(error.hint, 'run it with sudo');
  });
}
