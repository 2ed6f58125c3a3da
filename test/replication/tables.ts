/** Tables of a few bytes, and captures of them, for the tests of checkpoints. */
import { sha256 } from "../../src/lib/checksum.ts";
import type { Random } from "../../src/lib/random.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf, termOf } from "../../src/model/revision.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import type { Capture, PublishOptions } from "../../src/replication/checkpoint.ts";
import { SimClock } from "../sim/clock.ts";

export function contentOf(random: Random): Buffer {
  const bytes = Buffer.alloc(20 + random.below(40));
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.below(256);
  return bytes;
}

export function hashesOf(tables: readonly Buffer[]): string[] {
  return tables.map((bytes) => sha256(bytes));
}

/** A database at `index` that consists of these tables. */
export function captureOf(
  index: number,
  tables: readonly Buffer[],
  rest: Partial<Capture> = {},
): Capture {
  return {
    cluster: 7n,
    term: termOf(1),
    revision: index + 1,
    position: {
      index: indexOf(index),
      term: termOf(1),
      chain: BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n),
    },
    lastSeq: index,
    floor: 0,
    wallMs: 1_800_000_000_000 + index,
    tree: `tables of ${index}`,
    tables: tables.map((bytes) => ({
      hash: sha256(bytes),
      bytes: bytes.length,
      read: () => bytes,
    })),
    ...rest,
  };
}

export function publishOptions(seed: number, rest: Partial<PublishOptions> = {}): PublishOptions {
  return {
    clock: new SimClock(),
    random: new SeededRandom(seed),
    parallel: 3,
    tableMsMax: 60_000,
    known: new Map(),
    lockTerm: () => Promise.resolve(1),
    ...rest,
  };
}

/** A store as an object of its own, to change some of its methods. */
export function methodsOf(store: ObjectStore): ObjectStore {
  return {
    address: store.address,
    versions: store.versions,
    get: (...parts) => store.get(...parts),
    getIfChanged: (...parts) => store.getIfChanged(...parts),
    put: (...parts) => store.put(...parts),
    putIfAbsent: (...parts) => store.putIfAbsent(...parts),
    putIfMatch: (...parts) => store.putIfMatch(...parts),
    delete: (...parts) => store.delete(...parts),
    list: (...parts) => store.list(...parts),
  };
}
