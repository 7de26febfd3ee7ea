import test from 'ava';
import {
  BAND_CLOSED,
  BAND_DAMAGED,
  BAND_EMPTIED,
  BAND_FREE,
  BAND_OPEN,
  Bands,
} from '../../src/ftl/bands.ts';
import { deriveGeometry } from '../../src/ftl/geometry.ts';
import { Placement } from '../../src/ftl/placement.ts';
import { Superseders } from '../../src/ftl/superseders.ts';

function make(): Bands {
  const geometry = deriveGeometry({
    unitBlocks: 4,
    bandUnits: 2,
    bandCount: 16,
    overProvisioning: 25,
    blockCount: 60,
    pageEntries: 16,
    placeBytes: 4,
    superblockUnits: 1,
    frontPages: 4,
    mapBands: [],
  });
  const bands = new Bands(geometry, new Placement(16, geometry.classCount));
  for (let band = 0; band < 16; band += 1) bands.giveFree(band);
  return bands;
}

/** A band that is full of one valid block, and closed. */
function closedBand(bands: Bands): number {
  const band = bands.takeFree(0);
  bands.state[band] = BAND_OPEN;
  bands.pending[band] = 1;
  bands.gain(band);
  bands.fill(band, 1);
  bands.unitEnded(band, 1);
  return band;
}

test('bands are used in turn', (t) => {
  const bands = make();
  t.deepEqual([bands.takeFree(0), bands.takeFree(0)], [0, 1]);
  bands.giveFree(0);
  const rest = Array.from({ length: 15 }, () => bands.takeFree(0));
  t.is(rest.at(-1), 0);
  t.is(bands.takeFree(0), -1);
});

test('a band is closed when its last unit is on the base', (t) => {
  const bands = make();
  const band = bands.takeFree(0);
  bands.state[band] = BAND_OPEN;
  bands.pending[band] = 2;
  bands.gain(band);
  bands.fill(band, 5);
  bands.unitEnded(band, 5);
  t.not(bands.state[band], BAND_CLOSED);
  bands.unitEnded(band, 5);
  t.is(bands.state[band], BAND_CLOSED);
  t.is(bands.victims.closedCount, 1);
});

test('an emptied band waits for units, for reads and for a checkpoint of its trims', (t) => {
  const bands = make();
  const superseders = new Superseders(2, 16, true);
  const band = closedBand(bands);
  bands.trimmedAt[band] = 100;
  bands.readers[band] = 1;
  superseders.note(0, band);
  bands.lose(band);
  t.is(bands.state[band], BAND_EMPTIED);
  t.is(bands.victims.closedCount, 0);
  t.is(bands.waitsForUnits(superseders), band);
  t.is(bands.reclaim(superseders, 101), 0);
  superseders.written(0);
  superseders.flushBegins();
  superseders.flushed();
  t.is(bands.waitsForUnits(superseders), -1);
  t.is(bands.reclaim(superseders, 101), 0, 'it is being read');
  bands.readers[band] = 0;
  t.is(bands.reclaim(superseders, 100), 0, 'the trim is not in the checkpoint');
  t.true(bands.waitsForCheckpoint(100));
  t.false(bands.waitsForCheckpoint(101));
  t.is(bands.reclaim(superseders, 101), 1);
  t.is(bands.state[band], BAND_FREE);
  t.is(bands.emptiedCount, 0);
});

test('a band that could not be emptied waits until its blocks are overwritten', (t) => {
  const bands = make();
  const band = closedBand(bands);
  bands.take(band);
  bands.relocated(band);
  t.is(bands.state[band], BAND_DAMAGED);
  bands.lose(band);
  t.is(bands.state[band], BAND_EMPTIED);
});

test('a band without valid blocks is emptied when it closes', (t) => {
  const bands = make();
  const band = bands.takeFree(0);
  bands.state[band] = BAND_OPEN;
  bands.fill(band, 3);
  t.is(bands.state[band], BAND_EMPTIED);
});

test('the band with the fewest valid blocks is found', (t) => {
  const bands = make();
  t.is(bands.leastValid(), -1);
  const [first, second] = [closedBand(bands), closedBand(bands)];
  bands.gain(first);
  t.is(bands.leastValid(), second);
});
