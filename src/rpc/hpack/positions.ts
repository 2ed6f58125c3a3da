/** Where the fields of a table are, by what they say: what an encoder asks for every field. */
import type { Field } from "./decoder.ts";

/** All fields with one name. */
interface Named {
  /** Where the field added last is. */
  newest: number;
  /** Where the field with each value is. */
  readonly values: Map<string, number>;
}

/** The positions of a table's fields: numbers that whoever fills it gives them. */
export class Positions {
  readonly #names = new Map<string, Named>();

  /** Notes that `field` is at `position`, and no longer anywhere else. */
  add({ name, value }: Field, position: number): void {
    const named = this.#names.get(name);
    if (named === undefined) {
      this.#names.set(name, { newest: position, values: new Map([[value, position]]) });
    } else {
      named.newest = position;
      named.values.set(value, position);
    }
  }

  /** Forgets `field`: the one added first of those that are in it, as a dynamic table evicts. */
  remove({ name, value }: Field): void {
    const values = this.#names.get(name)?.values;
    values?.delete(value);
    if (values?.size === 0) this.#names.delete(name);
  }

  /** Where a field with this name and value is. */
  ofField({ name, value }: Field): number | undefined {
    return this.#names.get(name)?.values.get(value);
  }

  /** Where a field with this name is. */
  ofName(name: string): number | undefined {
    return this.#names.get(name)?.newest;
  }
}
