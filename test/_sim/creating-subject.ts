/**
 * A subject that makes its array itself: where the disks hold none yet, `open` creates one. A
 * creation that was interrupted must never be taken for an array, and must not be in the way of the
 * next attempt; once a start has succeeded, the array has to be found. Where nothing has happened
 * since all traces of an array were erased, it is created without a right to overwrite anything.
 */

import { BandstandError } from '../../src/block/errors.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { createArray } from '../../src/raid/create.ts';
import type { SubjectKind } from './player.ts';
import type { SimDisk } from './sim-disk.ts';
import type { Config } from './step.ts';
import type { OpenOptions, Subject } from './subject.ts';
import { isCacheDisk, makeFtl, planOf } from './template.ts';

/**
 * Refusals that say: there is no complete array here, or no complete FTL on it. One that lacks
 * members is what is left of an attempt that had made the array, but not its FTL, where the power
 * went while the next attempt was clearing it away.
 */
const NO_ARRAY =
  /^BANDSTAND_(?:ARRAY_NOT_FOUND|ARRAY_INCOMPLETE|ARRAY_FAILED|ARRAY_DEGRADED|SUPERBLOCK_\w+|MEMBER_UNIDENTIFIED|FTL_NOT_FOUND|FTL_SUPERBLOCK)$/;

/** For histories of this configuration only. */
export function creatingKind(kind: SubjectKind, config: Config): SubjectKind {
  return {
    ...kind,
    factory: (reactor, disks, array) => {
      const subject = kind.factory(reactor, disks, array);
      const open = async (options: OpenOptions): Promise<void> => {
        try {
          await subject.open(options);
        } catch (error) {
          const none = error instanceof BandstandError && NO_ARRAY.test(error.code);
          if (!options.mayCreate || !none) throw error;
          await create(reactor, disks, config, options.mayOverwrite);
          options.arrayCreated();
          await subject.open(options);
        }
      };
      return withOpen(subject, open);
    },
  };
}

function withOpen(subject: Subject, open: Subject['open']): Subject {
  return {
    open,
    promises: subject.promises,
    admin: subject.admin,
    cache: subject.cache,
    get device() {
      return subject.device;
    },
    get arrayBlocks() {
      return subject.arrayBlocks;
    },
    check: () => subject.check(),
    compared: () => subject.compared(),
    health: () => subject.health(),
    close: () => subject.close(),
  };
}

async function create(
  reactor: Reactor,
  all: readonly SimDisk[],
  config: Config,
  mayOverwrite: boolean,
): Promise<void> {
  const disks = all.slice(0, config.members);
  const cacheDisks = all.filter(({ name }) => isCacheDisk(name));
  const overwrite = mayOverwrite ? disks : [];
  try {
    for (const disk of disks) await disk.open(reactor);
    for (const disk of cacheDisks) await disk.open(reactor);
    const plan = planOf(config, disks);
    await createArray(reactor, plan, disks, { overwrite, ftl: config.ftl !== null });
    const cache = { cacheDisks, overwrite: mayOverwrite ? cacheDisks : [] };
    if (config.ftl !== null) await makeFtl(reactor, config.ftl, plan, disks, cache);
  } finally {
    for (const disk of disks) await disk.close();
    for (const disk of cacheDisks) await disk.close();
  }
}
