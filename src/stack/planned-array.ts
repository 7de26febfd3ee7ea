/**
 * The geometry of an array that does not exist yet.                                 (control plane)
 *
 * What goes on top of an array is planned before anything is written, so the array is opened over
 * devices that have a geometry and nothing else.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, DeviceDescription, Geometry } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import { type ArrayPlan, planSpec } from '../raid/plan.ts';
import { RaidArray } from '../raid/raid-array.ts';

class PlannedDevice implements BlockDevice {
  readonly name: string;
  readonly geometry: Geometry;
  observer = null;

  constructor(name: string, geometry: Geometry) {
    this.name = name;
    this.geometry = geometry;
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  submit(): void {
    assert(false, 'a planned device is not used');
  }

  describe(): DeviceDescription {
    return { kind: 'planned', name: this.name, children: [], details: {} };
  }
}

/** `geometries` are those of the members, in slot order. */
export async function plannedGeometry(
  reactor: Reactor,
  plan: ArrayPlan,
  geometries: readonly Geometry[],
): Promise<Geometry> {
  const devices = plan.members.map(
    ({ device }, slot) => new PlannedDevice(device, geometries[slot]!),
  );
  const array = new RaidArray(planSpec(plan, devices), { membersOpened: true });
  await array.open(reactor);
  try {
    return array.geometry;
  } finally {
    await array.close();
  }
}
