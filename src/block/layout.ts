/**
 * Layout: one table per on-disk structure.                                          (control plane)
 *
 * A structure is a list of fields (name, offset, bytes, type, meaning). Encoding, decoding, the
 * check that the fields fill the structure without gap or overlap, and the description in
 * docs/on-disk-format.md all derive from that list, so that they cannot disagree. Integers are
 * little-endian; a u64 is read as a BigInt, because a corrupt one may exceed 2^53, and becomes a
 * Number only after its owner has checked the range. Decoding judges nothing but the length: what
 * a value may be is the owner's business.
 */

import { assert } from './assert.ts';
import { formatUuid, UUID_BYTES, uuidBytes } from './uuid.ts';

export type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | 'uuid' | 'bytes' | 'zero';

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
  /** `zero` is reserved: written as zeroes, given back as read. */
  readonly type: FieldType;
  /** One sentence without a full stop, for the documentation. */
  readonly meaning: string;
}

type Decoded<Type extends FieldType> = Type extends 'u8' | 'u16' | 'u32'
  ? number
  : Type extends 'u64'
    ? bigint
    : Type extends 'uuid'
      ? string
      : Uint8Array;

type Encodable<Type extends FieldType> = Type extends 'u64' ? bigint | number : Decoded<Type>;

/** What `decode` gives: one value per field name. */
export type LayoutValues<Fields extends readonly Field[]> = {
  -readonly [F in Fields[number] as F['name']]: Decoded<F['type']>;
};

/** What `encode` takes: reserved fields are left out. */
export type LayoutInput<Fields extends readonly Field[]> = {
  readonly [F in Fields[number] as F['type'] extends 'zero' ? never : F['name']]: Encodable<
    F['type']
  >;
};

const INTEGER_BYTES: Readonly<Partial<Record<FieldType, number>>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
};

export class Layout<const Fields extends readonly Field[]> {
  readonly title: string;
  readonly bytes: number;
  readonly fields: Fields;

  /** Asserts that the fields, in order, fill exactly `bytes`. */
  constructor(title: string, bytes: number, fields: Fields) {
    let end = 0;
    for (const field of fields) {
      assert(
        field.offset === end,
        `field ${field.name} of ${title} starts where the last one ends`,
      );
      const fixed = field.type === 'uuid' ? UUID_BYTES : INTEGER_BYTES[field.type];
      assert(
        fixed === undefined || fixed === field.bytes,
        `field ${field.name} of ${title} has the size of its type`,
      );
      end += field.bytes;
    }
    assert(end === bytes, `the fields of ${title} fill it`);
    this.title = title;
    this.bytes = bytes;
    this.fields = fields;
  }

  field(name: Fields[number]['name']): Field {
    const found = this.fields.find((field) => field.name === name);
    assert(found !== undefined, 'a field that is asked for exists');
    return found;
  }

  /** Reads every field of the structure that starts at `at`. */
  decode(source: Uint8Array, at = 0): LayoutValues<Fields> {
    assert(at + this.bytes <= source.length, 'a structure lies inside its buffer');
    const view = new DataView(source.buffer, source.byteOffset + at, this.bytes);
    const values: Record<string, number | bigint | string | Uint8Array> = {};
    for (const { name, offset, bytes, type } of this.fields) {
      if (type === 'u8') values[name] = view.getUint8(offset);
      else if (type === 'u16') values[name] = view.getUint16(offset, true);
      else if (type === 'u32') values[name] = view.getUint32(offset, true);
      else if (type === 'u64') values[name] = view.getBigUint64(offset, true);
      else if (type === 'uuid') values[name] = formatUuid(source, at + offset);
      else values[name] = source.slice(at + offset, at + offset + bytes);
    }
    return values as LayoutValues<Fields>;
  }

  /** Writes every field at `at`; a shorter `bytes` value is padded with zeroes. */
  encode(values: LayoutInput<Fields>, target: Uint8Array, at = 0): void {
    assert(at + this.bytes <= target.length, 'a structure lies inside its buffer');
    const view = new DataView(target.buffer, target.byteOffset + at, this.bytes);
    const source = values as Readonly<Record<string, number | bigint | string | Uint8Array>>;
    for (const field of this.fields) {
      const { name, offset, bytes, type } = field;
      const value = source[name];
      if (type === 'u8') view.setUint8(offset, unsigned(value, field));
      else if (type === 'u16') view.setUint16(offset, unsigned(value, field), true);
      else if (type === 'u32') view.setUint32(offset, unsigned(value, field), true);
      else if (type === 'u64') view.setBigUint64(offset, unsigned64(value, field), true);
      else {
        target.fill(0, at + offset, at + offset + bytes);
        if (type === 'zero') continue;
        const content = type === 'uuid' ? uuidBytes(value as string) : (value as Uint8Array);
        assert(content.length <= bytes, 'a value fits into its field');
        target.set(content, at + offset);
      }
    }
  }

  /** The decoded values as plain JSON: bytes become hex, and a u64 beyond 2^53 decimal text. */
  json(values: LayoutValues<Fields>): Record<string, number | string> {
    const source = values as Readonly<Record<string, number | bigint | string | Uint8Array>>;
    const result: Record<string, number | string> = {};
    for (const { name } of this.fields) {
      const value = source[name]!;
      if (typeof value === 'bigint') {
        result[name] = value <= Number.MAX_SAFE_INTEGER ? Number(value) : value.toString();
      } else if (value instanceof Uint8Array) {
        result[name] = Buffer.from(value).toString('hex');
      } else {
        result[name] = value;
      }
    }
    return result;
  }

  /** A Markdown table of the fields. */
  markdown(): string {
    const rows = this.fields.map(
      ({ name, offset, bytes, type, meaning }) =>
        `| ${offset} | ${bytes} | ${type} | \`${name}\` | ${meaning} |`,
    );
    return ['| Offset | Bytes | Type | Field | Meaning |', '|---:|---:|---|---|---|', ...rows].join(
      '\n',
    );
  }
}

/** The position of the first byte that is not zero, or -1. */
export function firstNonZero(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== 0) return at;
  return -1;
}

function unsigned(value: unknown, field: Field): number {
  assert(
    typeof value === 'number' &&
      Number.isInteger(value) &&
      value >= 0 &&
      value < 2 ** (8 * field.bytes),
    `the value of ${field.name} fits into its field`,
  );
  return value;
}

function unsigned64(value: unknown, field: Field): bigint {
  const wide = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
  assert(
    typeof wide === 'bigint' && wide >= 0n && wide < 2n ** 64n,
    `the value of ${field.name} fits into its field`,
  );
  return wide;
}
