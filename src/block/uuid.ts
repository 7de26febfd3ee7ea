/**
 * UUIDs as 16 bytes in RFC 4122 network order and as text.                          (control plane)
 */

import { randomBytes } from 'node:crypto';

export const UUID_BYTES = 16;
export const UUID_NULL = '00000000-0000-0000-0000-000000000000';

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Lower-case canonical text, or null when `text` is no UUID. Accepts upper case. */
export function parseUuid(text: string): string | null {
  const lower = text.toLowerCase();
  return PATTERN.test(lower) ? lower : null;
}

export function formatUuid(bytes: Uint8Array, at = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + at, UUID_BYTES).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The 16 bytes of a canonical UUID. Throws TypeError for anything else. */
export function uuidBytes(uuid: string): Uint8Array {
  const canonical = parseUuid(uuid);
  if (canonical === null) throw new TypeError(`not a UUID: ${uuid}`);
  return Buffer.from(canonical.replaceAll('-', ''), 'hex');
}

/** A random (version 4) UUID from 16 random bytes; give bytes to make it reproducible. */
export function makeUuid(random: Uint8Array = randomBytes(UUID_BYTES)): string {
  const bytes = Uint8Array.from(random);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return formatUuid(bytes);
}
