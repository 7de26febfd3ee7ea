/**
 * Canonical scenarios: short scripts that are played with every member I/O failing, torn, or the
 * last one before a power cut or a kill. R1 to R14 name the scenarios of SPDK's own test script
 * test/bdev/bdev_raid.sh, in its order, that they stand for. R1 is none of them: it is about where
 * data begins on a device with another optimal boundary, and here it begins at the same block of
 * each disk, because the members are looked at past the code that decides it (test/raid/plan.ts
 * has that). Of R13 only the blocks of 4096 bytes apply: no device here has metadata of its own.
 */

import { referenceSize } from '../_helpers/raid-reference.ts';
import { mixSeed } from './random.ts';
import type { Config, History, LevelName, Step } from './step.ts';
import type { Promises } from './subject.ts';

export interface Scenario {
  readonly name: string;
  readonly history: History;
}

interface Shape {
  readonly level: LevelName;
  readonly members: number;
  readonly blockBytes?: number;
  readonly unitBytes?: number;
  readonly nativeFua?: boolean;
  readonly trim?: Config['trim'];
}

const SHAPES: readonly Shape[] = [
  { level: 'raid1', members: 2 },
  { level: 'raid1', members: 3, blockBytes: 4096, unitBytes: 512 },
  { level: 'raid5f', members: 3 },
  { level: 'raid5f', members: 5, nativeFua: false, unitBytes: 4096 },
  { level: 'raid5f', members: 4, blockBytes: 4096, unitBytes: 512 },
  { level: 'raid0', members: 2, nativeFua: false },
  { level: 'concat', members: 3, trim: 'undefined' },
];

const REDUNDANT: readonly LevelName[] = ['raid1', 'raid5f'];

export function configOf(shape: Shape, changes: Partial<Config> = {}): Config {
  const blockBytes = shape.blockBytes ?? 512;
  const stripBlocks = shape.level === 'raid1' ? 1 : 4;
  // A spare takes any place.
  const step = (changes.spares ?? 0) > 0 ? 0 : 8;
  return {
    level: shape.level,
    members: shape.members,
    blockBytes,
    stripBlocks,
    dataBlocks: Array.from({ length: shape.members }, (_, slot) => 32 + (slot % 2) * step),
    unitBytes: shape.unitBytes ?? 512,
    volatileCache: true,
    nativeFua: shape.nativeFua ?? true,
    trim: shape.trim ?? 'zeroes',
    latency: { leastUs: 10, mostUs: 200, slowChance: 0 },
    concurrency: 4,
    depth: 16,
    blank: false,
    earlyCuts: [],
    spares: 0,
    ftl: null,
    cache: null,
    ...changes,
  };
}

/** Writes scenarios in units that every level takes. */
export class Script {
  readonly #unit: number;
  /** Of the array as it is at first. */
  readonly #units: number;
  readonly steps: Step[] = [];

  constructor({ level, members, stripBlocks, dataBlocks }: Config) {
    const blocks = referenceSize({ level, strip: stripBlocks, sizes: dataBlocks });
    this.#unit = level === 'raid5f' ? stripBlocks * (members - 1) : 1;
    this.#units = blocks / this.#unit;
  }

  add(...steps: Step[]): this {
    this.steps.push(...steps);
    return this;
  }

  write(first: number, count: number, fua = false): this {
    return this.add({ do: 'write', ...this.#range(first, count), fua });
  }

  /** Behind the end that the array has at first. */
  writeNew(count: number): this {
    return this.add({ do: 'write', block: this.#units * this.#unit, count, fua: false });
  }

  clear(kind: 'trim' | 'zeroes', first: number, count: number): this {
    return this.add({ do: kind, ...this.#range(first, count), fua: false });
  }

  flush(): this {
    return this.add({ do: 'flush' });
  }

  drain(): this {
    return this.add({ do: 'drain' });
  }

  verify(): this {
    return this.add({ do: 'verify' });
  }

  restart(): this {
    return this.add({ do: 'restart' });
  }

  unplug(disk: number, power = false): this {
    return this.add({ do: 'unplug', disk, power });
  }

  /** The disk in each slot in turn becomes larger. */
  grow(slots: number, blocks: number): this {
    const disks = Array.from({ length: slots }, (_, disk) => disk);
    return this.add(...disks.map((disk) => ({ do: 'grow', disk, blocks }) as const));
  }

  /** `disk` counts those that are closed. */
  member(what: 'add' | 'fail' | 'remove', slot: number, disk = 0): this {
    return this.add({ do: 'member', what, slot, disk });
  }

  plug(disk: number): this {
    return this.add({ do: 'plug', disk });
  }

  #range(first: number, count: number): { block: number; count: number } {
    const start = first % this.#units;
    return {
      block: start * this.#unit,
      count: Math.min(count, this.#units - start) * this.#unit,
    };
  }
}

/** False where the subject knows nothing of what the scenario is about. */
export function concerns({ history }: Scenario, { rebuilds, grows }: Promises): boolean {
  return history.steps.every(
    ({ do: name }) => (name !== 'member' || rebuilds) && (name !== 'grow' || grows),
  );
}

interface Plan {
  readonly name: string;
  readonly levels?: readonly LevelName[];
  readonly config?: Partial<Config>;
  /** Members that the level may lose, at least, for this to make sense. */
  readonly losses?: number;
  readonly write: (script: Script, config: Config) => Script;
}

const PLANS: readonly Plan[] = [
  {
    name: 'create, write, restart (R6, R7, R13)',
    config: { blank: true },
    write: (script) => script.write(0, 2).flush().write(1, 2).restart(),
  },
  {
    name: 'members grow one after another, the array with the last (R2, R5)',
    levels: ['raid0', 'raid1'],
    write: (script, { members }) =>
      script
        .write(0, 3)
        .flush()
        .grow(members, 24)
        .writeNew(4)
        .write(1, 2)
        .flush()
        .restart()
        .verify(),
  },
  {
    name: 'an array is erased, and another one created on its members (R12)',
    config: { blank: true },
    write: (script) =>
      script.write(0, 2).flush().add({ do: 'recreate' }).write(1, 2).flush().restart(),
  },
  {
    name: 'writes and flushes',
    write: (script) =>
      script.write(0, 3).write(4, 1).flush().write(1, 2).write(6, 2).flush().write(0, 1).drain(),
  },
  {
    name: 'overwrites with FUA',
    write: (script) =>
      script.write(0, 2).write(0, 2, true).write(1, 1, true).write(0, 1).write(3, 2, true).drain(),
  },
  {
    name: 'a write that nobody flushes, and clean restarts',
    write: (script) => script.write(0, 1).restart().write(1, 1).restart().restart(),
  },
  {
    name: 'zeroes and trims at odd places (R4)',
    write: (script) =>
      script
        .write(0, 8)
        .flush()
        .clear('zeroes', 1, 3)
        .clear('trim', 5, 2)
        .write(2, 1)
        .flush()
        .clear('trim', 0, 2)
        .clear('zeroes', 6, 9)
        .verify(),
  },
  {
    name: 'starting without a member, and its return as stale (R8)',
    levels: REDUNDANT,
    losses: 1,
    write: (script, { members }) =>
      script
        .write(0, 3)
        .flush()
        .restart()
        .unplug(members - 1)
        .restart()
        .write(1, 3)
        .flush()
        .write(2, 1)
        .plug(members - 1)
        .restart()
        .write(0, 1)
        .drain(),
  },
  {
    name: 'one member after another is lost (R6, R10)',
    levels: ['raid1'],
    losses: 2,
    write: (script) =>
      script
        .write(0, 3)
        .flush()
        .unplug(0)
        .restart()
        .write(1, 2)
        .flush()
        .unplug(2, true)
        .restart()
        .write(2, 2)
        .plug(0)
        .plug(2)
        .restart(),
  },
  {
    name: 'a spare takes a place, is stopped half-way, and leaves it again (R10, R11)',
    levels: REDUNDANT,
    losses: 1,
    config: { spares: 1 },
    write: (script) =>
      script
        .write(0, 3)
        .flush()
        .member('fail', 1)
        .member('remove', 1)
        .write(1, 2)
        .member('add', 1, 1)
        .add({ do: 'wait', us: 300 })
        .write(2, 2)
        .restart()
        .write(0, 1)
        .add({ do: 'wait', us: 1_000_000 })
        .member('fail', 1)
        .write(3, 1)
        .member('remove', 1)
        .member('add', 1)
        .verify(),
  },
  {
    name: 'a member is pulled out with I/O in flight (R3, R14)',
    levels: REDUNDANT,
    losses: 1,
    write: (script) =>
      script
        .write(0, 3)
        .flush()
        .write(1, 2)
        .write(4, 1)
        .add({ do: 'read', block: 0, count: 8 })
        .unplug(0, true)
        .add({ do: 'read', block: 0, count: 8 })
        .drain()
        .restart()
        .write(0, 3)
        .flush(),
  },
  {
    name: 'unreadable blocks (R9)',
    levels: REDUNDANT,
    losses: 1,
    write: (script) =>
      script
        .write(0, 6)
        .flush()
        .add({ do: 'latent', disk: 0, block: 1, count: 3 })
        .add({ do: 'read', block: 0, count: 6 })
        .write(1, 1)
        .verify()
        .restart(),
  },
];

export const SCENARIOS: readonly Scenario[] = SHAPES.flatMap((shape) =>
  PLANS.flatMap((plan) => {
    const bears = shape.level === 'raid1' ? shape.members - 1 : shape.level === 'raid5f' ? 1 : 0;
    const fits = plan.levels?.includes(shape.level) !== false && bears >= (plan.losses ?? 0);
    if (!fits) return [];
    const config = configOf(shape, plan.config);
    const { steps } = plan.write(new Script(config), config);
    const name = `${shape.level} of ${shape.members}, ${config.blockBytes} B: ${plan.name}`;
    return [{ name, history: { seed: mixSeed(1, name.length, shape.members), config, steps } }];
  }),
);
