/**
 * What status says about one kind of operation: how many, how much, how long.       (control plane)
 */

import type { IoStatus } from '../control/schema.ts';
import type { OperationMeter } from '../device/meter-device.ts';

export function ioStatus({ ios, bytes, latency }: OperationMeter): IoStatus {
  if (ios === 0)
    return { ios: 0, bytes: 0, p50_us: null, p99_us: null, p999_us: null, latency_buckets: [] };
  const { p50, p99, p999 } = latency.summary();
  return {
    ios,
    bytes,
    p50_us: p50,
    p99_us: p99,
    p999_us: p999,
    latency_buckets: latency.buckets(),
  };
}
