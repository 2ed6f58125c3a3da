/** The figures of a run: one row for what is measured, a value for each round and contender. */
import type { ContenderName } from "./contender.ts";
import { median } from "./drive.ts";

/** "" is for what is counted, "$" for US dollars. */
export type Unit = "/s" | "ms" | "s" | "MB" | "kB" | "%" | "$" | "";

export interface Row {
  readonly suite: string;
  readonly name: string;
  readonly unit: Unit;
  readonly values: Readonly<Record<ContenderName, readonly number[]>>;
}

interface OpenRow extends Row {
  readonly values: Record<ContenderName, number[]>;
}

const megabyte = 1e6;

export class Sheet {
  readonly #rows: OpenRow[] = [];

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Notes the value of one round. */
  note(suite: string, name: string, contender: ContenderName, value: number, unit: Unit): void {
    let row = this.#rows.find((each) => each.suite === suite && each.name === name);
    if (row === undefined) {
      row = { suite, name, unit, values: { etcd: [], t4: [] } };
      this.#rows.push(row);
    }
    row.values[contender].push(value);
  }

  noteBytes(suite: string, name: string, contender: ContenderName, bytes: number): void {
    this.note(suite, name, contender, bytes / megabyte, "MB");
  }

  /** The median over the rounds; undefined where nothing was noted. */
  median(suite: string, name: string, contender: ContenderName): number | undefined {
    const row = this.#rows.find((each) => each.suite === suite && each.name === name);
    const values = row?.values[contender] ?? [];
    return values.length === 0 ? undefined : median(values);
  }
}

/**
 * How many times better T4 is, by the medians: above 1 is better. Undefined without both, and for what
 * is counted.
 */
export function advantage({ unit, values }: Row): number | undefined {
  if (values.etcd.length === 0 || values.t4.length === 0 || unit === "") return undefined;
  const [etcd, t4] = [median(values.etcd), median(values.t4)];
  return unit === "/s" || unit === "%" ? t4 / etcd : etcd / t4;
}
