/**
 * A StackControl over a fake manager, for tests of what it asks of the array and what it refuses.
 * Devices are real files on a real ring, so that opening and closing is real.
 */

import type { ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { loadAddon } from '../../src/native/load.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import type { CheckedFtl } from '../../src/stack/checksum-check.ts';
import { withRing } from '../../src/stack/offline-ring.ts';
import { StackControl } from '../../src/stack/stack-control.ts';
import type { StackEvent } from '../../src/stack/worker-messages.ts';
import { FakeManager } from './fake-manager.ts';
import { CliWorld } from './run-cli.ts';

export const ARRAY_UUID = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';

export interface World {
  readonly cli: CliWorld;
  readonly manager: FakeManager;
  readonly control: StackControl;
  readonly events: StackEvent[];
  /** Runs `work`; the error that it throws. */
  refused(work: () => Promise<unknown>): Promise<BandstandError>;
}

export interface WorldOptions {
  readonly level?: LevelName;
  readonly readOnly?: boolean;
  readonly unmanaged?: boolean;
  /** What the stack checks first. */
  readonly ftl?: CheckedFtl;
}

/** A mirror of three with 3 MiB of data, of which only the manager's words exist. */
export async function inWorld(
  t: ExecutionContext,
  options: WorldOptions,
  work: (world: World) => Promise<void>,
): Promise<void> {
  const cli = new CliWorld(t);
  const manager = new FakeManager();
  const events: StackEvent[] = [];
  await withRing(async (ring) => {
    const control = new StackControl({
      ring,
      name: 'tank',
      readOnly: options.readOnly ?? false,
      log: () => null,
      top: () => {
        throw new Error('nothing lies on a fake array');
      },
      manager: () => (options.unmanaged === true ? null : manager),
      spec: () => ({
        name: 'tank',
        uuid: ARRAY_UUID,
        level: options.level ?? 'raid1',
        blockBytes: 4096,
        stripBlocks: 0,
        blockCount: 768,
        members: manager.members.map(({ uuid }) => ({
          uuid,
          device: null,
          dataOffset: 256,
          dataSize: 768,
        })),
      }),
      ftl: () => options.ftl ?? null,
      sizeBytes: () => 768 * 4096,
      emit: (event) => events.push(event),
    });
    const refused = async (act: () => Promise<unknown>): Promise<BandstandError> => {
      const error = await t.throwsAsync(act);
      t.true(error instanceof BandstandError, String(error));
      return error as unknown as BandstandError;
    };
    try {
      await work({ cli, manager, control, events, refused });
    } finally {
      for (const device of manager.given) await device.close();
    }
  });
}

export const add = (device: string) => ({
  device,
  spare_only: false,
  of_cache: false,
  dry_run: false,
});
export const change = (member: string) => ({
  member,
  member_path: null,
  member_key: null,
  dry_run: false,
});

/** True when nobody has the file locked. */
export function isFree(path: string): boolean {
  const native = loadAddon();
  const fd = native.fileOpen(path, 2, 0);
  const result = native.fileLock(fd, true);
  native.fileClose(fd);
  return result === 0;
}
