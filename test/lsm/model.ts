/**
 * The plain truth a tree is held against: a map of rows, and a copy of it for each sealed position.
 *
 * Three families of rows. Plain ones ("p…") are put over and deleted as it comes. Versions
 * ("v<name>.<version, inverted>") are put once, later ones sort earlier; an empty value is a
 * tombstone. Below a floor only the newest version of a name counts, and none if it is a tombstone:
 * a sieve may drop the rest, or not yet have done so. A run keeps the newest of each name apart. Kept
 * versions ("w…") know no floor and no tombstones, but are deleted at times.
 */
import { type ByteString, byteStringOf, orderedU32, readOrderedU32 } from "../../src/lib/bytes.ts";
import { RowKey } from "../../src/lsm/rowkey.ts";
import type { Cursor, Schema, TableInfo } from "../../src/lsm/tree.ts";
import { hasPrefix, keyText } from "../../src/lsm/view.ts";

export type Rows = ReadonlyMap<ByteString, ByteString>;

const versionMax = 0xffffffff;

/** What the versions of a name begin with; the name begins with its family, "v" or "w". */
export function versionPrefix(name: ByteString): ByteString {
  return `${name}.`;
}

export function versionKey(name: ByteString, version: number): ByteString {
  return versionPrefix(name) + orderedU32(versionMax - version);
}

function isVersion(key: ByteString): boolean {
  return key.startsWith("v");
}

function versionOf(key: ByteString): number {
  return versionMax - readOrderedU32(key, key.length - 4);
}

/** The rows that count, sorted by key. */
export function visible(rows: Iterable<[ByteString, ByteString]>, floor: number) {
  const sieve = versionSieve(floor, true);
  return [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(([key, value]) => !sieve(key, value.length));
}

/**
 * Of each name the newest version up to this one, unless it is a tombstone, from rows in which it is.
 * Older ones are passed at once, or stepped over.
 */
export function* newestOf(
  rows: Cursor,
  version: number,
  passes: () => boolean,
): Generator<[ByteString, ByteString]> {
  const prefix = new RowKey();
  while (rows.next()) {
    const { key } = rows;
    if (versionOf(key) > version) continue;
    if (prefix.length > 0 && hasPrefix(rows.row, prefix)) {
      if (passes()) rows.pass(prefix);
      continue;
    }
    prefix.take(key.slice(0, -4));
    const value = byteStringOf(rows.value());
    if (value !== "") yield [key, value];
  }
}

/** What a schema may be asked to do besides what rows are. */
export interface SchemaWishes {
  /** The floor at this moment. */
  readonly floor: () => number;
  readonly wantsMajor?: (tables: readonly TableInfo[]) => boolean;
}

export function schemaOf({ floor, wantsMajor }: SchemaWishes): Schema {
  return {
    prefixLength: (view) => {
      const key = keyText(view);
      return key >= "v" ? key.length - 4 : Math.min(2, key.length);
    },
    splits: ({ keyAt, keyBytes }) => keyBytes[keyAt] === "v".charCodeAt(0),
    summary: () => {
      let versions = 0;
      let newest = 0;
      return {
        add(view) {
          const key = keyText(view);
          if (!isVersion(key)) return;
          versions++;
          newest = Math.max(newest, versionOf(key));
        },
        result: () => ({ versions, newest }),
      };
    },
    sieve: (bottom) => {
      const sieve = versionSieve(floor(), bottom);
      return ({ end, key, start }) => sieve(key, end - start);
    },
    ...(wantsMajor && { wantsMajor }),
  };
}

function versionSieve(floor: number, bottom: boolean) {
  let settled: ByteString | undefined;
  return (key: ByteString, valueBytes: number): boolean => {
    if (!isVersion(key) || versionOf(key) > floor) return false;
    const name = key.slice(0, -4);
    if (name === settled) return true;
    settled = name;
    return bottom && valueBytes === 0;
  };
}

export class Model {
  #rows = new Map<ByteString, ByteString>();
  readonly #sealed = new Map<number, Rows>([[0, new Map()]]);
  readonly #versions = new Map<number, number>();
  floor = 0;
  /** The version put last. */
  version = 0;

  get rows(): Rows {
    return this.#rows;
  }

  put(key: ByteString, value: ByteString): void {
    this.#rows.set(key, value);
  }

  delete(key: ByteString): void {
    this.#rows.delete(key);
  }

  /** Remembers the rows as those of `position`. */
  seal(position: number): void {
    this.#sealed.set(position, new Map(this.#rows));
    this.#versions.set(position, this.version);
  }

  /** The version put last when `position` was sealed. */
  versionAt(position: number): number {
    return this.#versions.get(position) ?? 0;
  }

  /** Goes back to the rows of `position`; later positions never were. */
  restore(position: number): void {
    this.#rows = new Map(this.#sealed.get(position));
    for (const sealed of this.#sealed.keys()) if (sealed > position) this.#sealed.delete(sealed);
  }

  visible(): [ByteString, ByteString][] {
    return visible(this.#rows, this.floor);
  }

  /** Of each name the newest version up to this one, unless it is a tombstone, in key order. */
  newest(version: number): [ByteString, ByteString][] {
    const found = new Map<ByteString, [ByteString, ByteString]>();
    for (const row of visible(this.#rows, this.floor)) {
      const [key] = row;
      const name = key.slice(0, -4);
      if (isVersion(key) && versionOf(key) <= version && !found.has(name)) found.set(name, row);
    }
    return [...found.values()].filter(([, value]) => value !== "");
  }

  /** The row that Tree.first must find: the newest version of `name` up to `version`. */
  first(name: ByteString, version: number): [ByteString, ByteString] | undefined {
    const prefix = versionPrefix(name);
    const from = versionKey(name, version);
    const versions = [...this.#rows].filter(([key]) => key.startsWith(prefix));
    return visible(versions, this.floor).find(([key]) => key >= from);
  }
}
