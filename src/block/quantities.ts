/**
 * Sizes and durations as people write and read them.                                (control plane)
 *
 * Sizes are binary: `512K`, `4KiB` and `1.5T` are powers of 1024, a bare number is bytes. Spellings
 * with two meanings in use (`4KB`: 1000 or 1024; `512b`: bytes or blocks of 512) are refused rather
 * than guessed. Printed sizes have three significant digits and the `i`. Durations are `500ms`,
 * `90s`, `10m`, `2h`, `1d`; a bare number is seconds.
 *
 * The parsers return null for what they do not understand; the caller knows what it was for and
 * makes the message.
 */

const SIZE_UNITS = 'KMGTPE';
const SIZE_PATTERN = /^(\d+(?:\.\d+)?|\.\d+)(?:([kmgtpeKMGTPE])(?:iB)?|B)?$/;

/** Bytes, or null. A fraction must come out as a whole number of bytes, below 2^53. */
export function parseSize(text: string): number | null {
  const match = SIZE_PATTERN.exec(text);
  if (match === null) return null;
  const unit = match[2] === undefined ? 0 : SIZE_UNITS.indexOf(match[2].toUpperCase()) + 1;
  const bytes = Number(match[1]) * 1024 ** unit;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** What a refused size should have looked like, for hints. */
export const SIZE_HINT = 'write sizes like 4096, 512K, 4KiB or 1.5T (powers of 1024)';

/** `3.49 TiB`, `372 GiB`, `128 KiB`, `512 B`: three significant digits, exact where it is whole. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < SIZE_UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  // 1023.9 would round up to 1024 of this unit, which is 1 of the next.
  if (unit > 0 && unit < SIZE_UNITS.length && Math.round(value) >= 1024) {
    value /= 1024;
    unit += 1;
  }
  const suffix = unit === 0 ? 'B' : `${SIZE_UNITS[unit - 1]}iB`;
  return `${formatSignificant(value)} ${suffix}`;
}

/** Three significant digits without trailing zeroes: 3.49, 12.5, 372. */
function formatSignificant(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = value.toFixed(digits);
  return digits === 0 ? text : text.replace(/\.?0+$/, '');
}

const DURATION_PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/;
const DURATION_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, or null. */
export function parseDuration(text: string): number | null {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return null;
  const ms = Math.round(Number(match[1]) * DURATION_MS[match[2] ?? 's']!);
  return Number.isSafeInteger(ms) ? ms : null;
}

export const DURATION_HINT = 'write durations like 500ms, 90s, 10m or 2h';

/** `0.8 s`, `59 s`, `3 min 20 s`, `2 h 51 min`, `3 d 4 h`: the two largest units. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${formatSignificantSeconds(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return twoUnits(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.floor(minutes / 60);
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function formatSignificantSeconds(seconds: number): string {
  return seconds.toFixed(1).replace(/\.0$/, '');
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** Steps and limits of an estimate in seconds: coarser the further away. */
const ESTIMATE_STEPS: readonly (readonly [below: number, step: number])[] = [
  [60, 1],
  [600, 10],
  [36_000, 60],
  [864_000, 3600],
];

/** `42 s`, `3 min 20 s`, `59 min`, `2 h 51 min`, `14 h`: as exact as an estimate can be. */
export function formatEstimate(seconds: number): string {
  const step = ESTIMATE_STEPS.find(([below]) => seconds < below)?.[1] ?? 86_400;
  const rounded = Math.round(seconds / step) * step;
  return formatDuration(rounded * 1000);
}

/** Digits in groups of three with a narrow separator that copies as plain text: `9 973`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** Microseconds below a millisecond, then milliseconds, then seconds. */
export function formatLatency(us: number): string {
  if (us < 1000) return `${us < 10 ? us.toFixed(1) : Math.round(us)} us`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
  return `${(us / 1_000_000).toFixed(1)} s`;
}
