import test from 'ava';
import { BAND_CELLS_MAX, bandMap } from '../../src/ftl/band-map.ts';
import {
  BAND_CLOSED,
  BAND_DAMAGED,
  BAND_EMPTIED,
  BAND_FREE,
  BAND_MAP,
  BAND_OPEN,
  BAND_RELOCATING,
} from '../../src/ftl/bands.ts';

function bandsOf(...bands: readonly (readonly [state: number, valid?: number])[]) {
  const state = Uint8Array.from(bands, ([one]) => one);
  const valid = Uint32Array.from(bands, ([, blocks = 0]) => blocks);
  return { count: bands.length, state, valid };
}

test('each band has a letter of its own while there is room', (t) => {
  const bands = bandsOf(
    [BAND_MAP],
    [BAND_FREE],
    [BAND_OPEN, 10],
    [BAND_CLOSED, 9],
    [BAND_CLOSED, 10],
    [BAND_CLOSED, 99],
    [BAND_CLOSED, 100],
    [BAND_EMPTIED],
    [BAND_RELOCATING, 5],
    [BAND_DAMAGED, 5],
  );
  t.deepEqual(bandMap(bands, 100), { bands_per_cell: 1, cells: 'M.O01990G!' });
});

test('neighbours share a cell: the worst of them shows, else how much of all is valid', (t) => {
  const share = (...pair: readonly (readonly [number, number?])[]): string => {
    const many = Array.from({ length: BAND_CELLS_MAX }, () => pair).flat();
    const { bands_per_cell: perCell, cells } = bandMap(bandsOf(...many), 100);
    t.is(perCell, 2);
    t.is(cells, cells[0]!.repeat(BAND_CELLS_MAX));
    return cells[0]!;
  };
  t.is(share([BAND_CLOSED, 80], [BAND_CLOSED, 60]), '7');
  t.is(share([BAND_CLOSED, 80], [BAND_FREE]), '4', 'what is free holds nothing');
  t.is(share([BAND_FREE], [BAND_FREE]), '.');
  t.is(share([BAND_MAP], [BAND_FREE]), '.', 'the map holds no data');
  t.is(share([BAND_MAP], [BAND_CLOSED, 55]), '5');
  t.is(share([BAND_OPEN, 1], [BAND_CLOSED, 99]), 'O');
  t.is(share([BAND_RELOCATING, 1], [BAND_OPEN, 99]), 'G');
  t.is(share([BAND_RELOCATING, 1], [BAND_DAMAGED, 99]), '!');
});

test('the map stays small, whatever the device has, and the last cell may stand for fewer', (t) => {
  for (const count of [1, 511, 512, 513, 100_000]) {
    const bands = bandsOf(...Array.from({ length: count }, () => [BAND_CLOSED, 100] as const));
    const { bands_per_cell: perCell, cells } = bandMap(bands, 100);
    t.is(cells, '9'.repeat(Math.ceil(count / perCell)));
    t.true(cells.length <= BAND_CELLS_MAX && cells.length > Math.min(count, BAND_CELLS_MAX) / 2);
  }
  t.deepEqual(bandMap(bandsOf(), 100), { bands_per_cell: 1, cells: '' });
});
