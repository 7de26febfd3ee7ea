import test from 'ava';
import {
  CONTROL_COMMAND,
  DEV_INFO_BYTES,
  decodeDeviceInfo,
  decodeParams,
  descriptorBytes,
  descriptorOffset,
  encodeDeviceInfo,
  encodeParams,
  encodeParamsRequest,
  F_USER_RECOVERY,
  F_USER_RECOVERY_REISSUE,
  featureNames,
  OWNER_TAG,
  PARAMS_BYTES,
  type UblkParams,
} from '../../../src/exporter/ublk/uapi.ts';

/** Bytes from groups of hexadecimal digits; blanks are for the eye. */
function bytes(...groups: readonly string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(groups.join('').replaceAll(' ', ''), 'hex'));
}

test('device information is laid out as the kernel header says', (t) => {
  const encoded = encodeDeviceInfo({
    id: 0xffffffff,
    queues: 2,
    depth: 128,
    maxIoBytes: 256 * 1024,
    flags: F_USER_RECOVERY | F_USER_RECOVERY_REISSUE,
    ownerTag: OWNER_TAG,
  });
  t.deepEqual(
    encoded,
    bytes(
      '0200 8000 0000 0000', // queues, depth, state, pad
      '00000400 ffffffff', // buffer bytes, id
      '00000000 00000000', // pid, pad
      '1800000000000000', // flags
      '0100 74 73 64 6e 61 62', // ublksrv_flags
      '00000000 00000000', // owner
      '0000000000000000 0000000000000000',
    ),
  );
  t.is(encoded.length, DEV_INFO_BYTES);
});

test('device information is read back with a signed pid and named states', (t) => {
  const answer = bytes(
    '0100 8000 0200 0000',
    '00000800 07000000',
    'ffffffff 00000000',
    '5a00000000000080',
    '0000000000000000',
    'e8030000 64000000',
    '0000000000000000 0000000000000000',
  );
  t.deepEqual(decodeDeviceInfo(answer), {
    id: 7,
    queues: 1,
    depth: 128,
    state: 'quiesced',
    maxIoBytes: 512 * 1024,
    serverPid: -1,
    flags: 0x800000000000005an,
    ownerTag: 0n,
    ownerUid: 1000,
  });
  answer[4] = 9;
  t.is(decodeDeviceInfo(answer).state, 'unknown');
});

test('feature names cover known and unknown bits', (t) => {
  t.deepEqual(featureNames(0x1fen), [
    'complete-in-task',
    'need-get-data',
    'user-recovery',
    'user-recovery-reissue',
    'unprivileged',
    'ioctl-encoding',
    'user-copy',
    'zoned',
  ]);
  t.deepEqual(featureNames((1n << 63n) | (1n << 20n)), ['io-descriptor-size', 'bit-63']);
  t.deepEqual(featureNames(0n), []);
});

const PARAMS: UblkParams = {
  attributes: 12,
  logicalBlockShift: 12,
  physicalBlockShift: 12,
  ioMinShift: 16,
  ioOptShift: 18,
  maxSectors: 512,
  chunkSectors: 384,
  devSectors: 2 ** 33 + 8,
  discard: {
    granularityBytes: 65536,
    maxDiscardSectors: 8388480,
    maxWriteZeroesSectors: 8388600,
  },
};

test('parameters are laid out as the kernel header says', (t) => {
  const encoded = encodeParams(PARAMS);
  t.deepEqual(
    encoded,
    bytes(
      '70000000 03000000', // length 112, basic and discard
      '0c000000 0c 0c 12 10', // attributes; logical, physical, optimal, minimum
      '00020000 80010000',
      '0800000002000000', // sectors
      '0000000000000000',
      '00000000 00000100', // alignment, granularity
      '80ff7f00 f8ff7f00', // discard, write-zeroes
      '0100 0000',
      '00'.repeat(16),
      '00'.repeat(32),
      '00000000',
    ),
  );
  t.is(encoded.length, PARAMS_BYTES);
  t.deepEqual(decodeParams(encoded), PARAMS);
});

test('parameters without discard leave its block out', (t) => {
  const encoded = encodeParams({ ...PARAMS, discard: null });
  t.is(encoded[4], 1);
  t.true(encoded.subarray(40, 60).every((byte) => byte === 0));
  t.is(decodeParams(encoded)!.discard, null);
});

test('parameters that were never set, or that no Number can hold, decode to nothing', (t) => {
  t.is(decodeParams(encodeParamsRequest()), null);
  const huge = encodeParams(PARAMS);
  huge.fill(0xff, 24, 32);
  t.is(decodeParams(huge), null);
});

test('a request for parameters tells the length of its buffer', (t) => {
  const request = encodeParamsRequest();
  t.is(request.length, 112);
  t.deepEqual(request.subarray(0, 4), bytes('70000000'));
});

test('a control command is laid out as the kernel header says', (t) => {
  const encoded = new Uint8Array(32);
  CONTROL_COMMAND.encode(
    { dev_id: 3, queue_id: 0xffff, len: 64, addr: 0x7f0123456000, data: 4711, dev_path_len: 0 },
    encoded,
  );
  t.deepEqual(
    encoded,
    bytes('03000000 ffff 4000', '0060452301 7f0000', '6712000000000000', '0000 0000 00000000'),
  );
});

test('descriptors of a queue lie at a stride that does not depend on the depth', (t) => {
  t.is(descriptorOffset(0, 4096), 0);
  t.is(descriptorOffset(1, 4096), 98304);
  t.is(descriptorOffset(3, 4096), 294912);
  t.is(descriptorOffset(1, 65536), 131072);
  t.is(descriptorBytes(128, 4096), 4096);
  t.is(descriptorBytes(171, 4096), 8192);
  t.is(descriptorBytes(1, 65536), 65536);
});
