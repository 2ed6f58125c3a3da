/** What the tests of the tables share: a tree on a disk, small enough that every path runs. */
import { byteStringOf } from "../../src/lib/bytes.ts";
import type { Clock } from "../../src/lib/clock.ts";
import type { Disk } from "../../src/lib/disk.ts";
import { silent } from "../../src/lib/logger.ts";
import { noHistogram } from "../../src/lib/meter.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Tree, type TreeLimits, type TreeOptions } from "../../src/lsm/tree.ts";
import type { RowView } from "../../src/lsm/view.ts";
import { SimClock } from "../sim/clock.ts";
import { schemaOf } from "./model.ts";

export const directory = "/data/db";

export interface Position {
  readonly at: number;
}

/** With these a slice of background work is as short as can be. */
export const tinyLimits: TreeLimits = {
  memtableBytesMax: 4096,
  sealedMax: 2,
  cacheBytesMax: 8192,
  blockBytes: 256,
  tableBytesMax: 4096,
  sliceMsMax: 0,
  fanout: 3,
};

/** A tree with tiny limits, on a clock that stands still. An error of its background work is thrown. */
export function openTree(
  disk: Disk,
  options: Partial<TreeOptions<Position>> = {},
): Promise<Tree<Position>> {
  return Tree.open<Position>({
    disk,
    directory,
    clock: new SimClock(),
    random: new SeededRandom(1),
    logger: silent,
    limits: tinyLimits,
    meters: { flushSeconds: noHistogram, mergeSeconds: noHistogram },
    schema: schemaOf({ floor: () => 0 }),
    fatal: (error) => {
      throw error;
    },
    ...options,
  });
}

/** Waits until `holds`, while background work goes on. */
export async function until(clock: Clock, holds: () => boolean): Promise<void> {
  while (!holds()) await clock.yield();
}

export function textOf(value: Uint8Array): string {
  return byteStringOf(value);
}

/** The value of a row that is no deletion. */
export function valueText({ bytes, end, start }: RowView): string {
  return byteStringOf(bytes, start, end);
}
