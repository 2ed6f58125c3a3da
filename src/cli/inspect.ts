/**
 * `t4 inspect`: what a database holds, read without touching it. The names and forms of the answers
 * are those that users of T4 know; revisions are etcd's.
 */
import { type ByteString, prefixEnd } from "../lib/bytes.ts";
import { SystemClock } from "../lib/clock.ts";
import { PosixDisk } from "../lib/posix.ts";
import { SystemRandom } from "../lib/random.ts";
import { glimpse } from "../member/glimpse.ts";
import { startText } from "../member/moment.ts";
import { openDirectory, partsOf, type Snapshot } from "../member/snapshot.ts";
import type { Event, KeyValue } from "../model/event.ts";
import { includes, type KeyRange, openEnd } from "../model/range.ts";
import type { Store } from "../mvcc/store.ts";
import type { Command, Shell } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { columns, jsonLine, keyText, labelled, textOf, typedKey, valueText } from "./literal.ts";
import {
  inspectCountOptions,
  inspectDiffOptions,
  inspectGetOptions,
  inspectHistoryOptions,
  inspectListOptions,
  inspectMetaOptions,
  type ReadingOptions,
} from "./options.ts";
import { parse } from "./parse.ts";
import { withScratch } from "./scratch.ts";
import { errandLimits, openBucket } from "./store.ts";
import { NotFoundError, UsageError } from "./usage.ts";

const cacheBytesMax = 2 ** 25;

/** An answer in both forms. */
interface Answer {
  readonly json: unknown;
  readonly text: () => string;
}

/** Where a database was read, by what it is called in the answers. */
type Place = readonly (readonly [name: "data_dir" | "db_dir" | "bucket" | "from", at: string])[];

/** Opens what the options name, prints what `ask` makes of it, closes it. */
async function answer(
  options: ReadingOptions,
  shell: Shell,
  ask: (snapshot: Snapshot, place: Place) => Answer,
): Promise<number> {
  const rooms = { disk: new PosixDisk(), clock: new SystemClock(), cacheBytesMax };
  const print = (snapshot: Snapshot, place: Place) => {
    try {
      const { json, text } = ask(snapshot, place);
      shell.print(options.json || options.output === "json" ? jsonLine(json) : text());
    } finally {
      snapshot.close();
    }
  };
  const random = new SystemRandom();
  const bucket = openBucket(options, { clock: rooms.clock, random, limits: errandLimits });
  if (bucket === undefined) {
    const { dataDirectory } = options;
    print(await openDirectory(dataDirectory, rooms), [
      ["data_dir", dataDirectory],
      ["db_dir", partsOf(dataDirectory).tablesPath],
    ]);
    return exitCodes.ok.code;
  }
  const { address } = bucket.store;
  await withScratch(async (scratch) => {
    const snapshot = await glimpse(bucket, { ...rooms, scratch });
    if (snapshot === undefined) throw new NotFoundError(`there is no database in ${address}`);
    print(snapshot, [
      ["bucket", address],
      ["from", startText(snapshot.course)],
    ]);
  });
  return exitCodes.ok.code;
}

const placeNames = {
  data_dir: "Data dir",
  db_dir: "Tables dir",
  bucket: "Bucket",
  from: "Read from",
} as const;

export const meta: Command = (argv, shell) => {
  const options = parse(inspectMetaOptions, argv, shell.environment);
  return answer(options, shell, ({ position, store }, place) => {
    const json = {
      ...Object.fromEntries(place),
      current_revision: store.revision,
      compact_revision: Math.max(0, store.floor),
      total_keys: countOf(store, rangeOf("")),
      index: position.index,
      term: position.term,
      leases: [...store.leases.all()].length,
    };
    const facts = () =>
      labelled([
        ...place.map(([name, at]) => [placeNames[name], at] as const),
        ["Current revision", json.current_revision],
        ["Compact revision", json.compact_revision],
        ["Total keys", json.total_keys],
      ]);
    return { json, text: facts };
  });
};

export const get: Command = (argv, shell) => {
  const options = parse(inspectGetOptions, argv, shell.environment);
  const key = typedKey(options.key);
  return answer(options, shell, ({ store }) => {
    const pair = store.latest(key, store.revision);
    if (pair === undefined) throw new NotFoundError(`there is no key ${keyText(key)}`);
    const json = pairJson(pair, store);
    const facts = () =>
      labelled([
        ["Key", keyText(key)],
        ["Value", valueText(pair.value)],
        ["Revision", json.Revision],
        ["Create revision", json.CreateRevision],
        ["Prev revision", json.PrevRevision],
        ["Lease", json.Lease],
      ]);
    return { json, text: facts };
  });
};

export const list: Command = async (argv, shell) => {
  const options = parse(inspectListOptions, argv, shell.environment);
  const { keyPrefix, keyPrefixTyped, limit } = options;
  if (keyPrefix !== undefined && keyPrefixTyped !== undefined) {
    throw new UsageError("the prefix is given twice: as PREFIX and as --prefix");
  }
  const range = rangeOf(keyPrefixTyped ?? keyPrefix);
  return await answer(options, shell, ({ store }) => {
    const cursor = store.cursor(range, store.revision);
    const pairs: KeyValue[] = [];
    while ((limit === 0 || pairs.length < limit) && cursor.next()) pairs.push(cursor.pair());
    const rows = pairs.map((pair) => pairJson(pair, store));
    const table = () =>
      columns(
        ["KEY", "REV", "CREATE", "PREV", "LEASE", "VALUE"],
        rows.map((row, at) => {
          const { key, value } = pairs[at] as KeyValue;
          const { CreateRevision, Lease, PrevRevision, Revision } = row;
          return [keyText(key), Revision, CreateRevision, PrevRevision, Lease, valueText(value)];
        }),
      );
    return { json: rows, text: () => `${table()}\nListed ${rows.length} key(s)\n` };
  });
};

export const count: Command = (argv, shell) => {
  const options = parse(inspectCountOptions, argv, shell.environment);
  const { keyPrefix: prefix = "" } = options;
  return answer(options, shell, ({ store }) => {
    const keys = countOf(store, rangeOf(prefix));
    const text = () => (prefix === "" ? `${keys}\n` : `${prefix}: ${keys}\n`);
    return { json: { prefix, count: keys }, text };
  });
};

export const history: Command = (argv, shell) => {
  const options = parse(inspectHistoryOptions, argv, shell.environment);
  const key = typedKey(options.key);
  return answer(options, shell, ({ store }) => {
    const events = eventsOf(store, key);
    if (events.length === 0) throw new NotFoundError(`there never was a key ${keyText(key)}`);
    const shown = options.limit === 0 ? events : events.slice(-options.limit);
    const table = () =>
      columns(
        ["REV", "TYPE", "CREATE", "PREV", "LEASE", "VALUE"],
        shown.map(({ KV: { CreateRevision, Lease, PrevRevision, Revision, Value }, Type }) => {
          const value = Type === "delete" ? absent : valueText(Buffer.from(Value, "base64"));
          return [Revision, Type, CreateRevision, PrevRevision, Lease, value];
        }),
      );
    return { json: shown, text: () => `${table()}\nListed ${shown.length} event(s)\n` };
  });
};

export const diff: Command = async (argv, shell) => {
  const options = parse(inspectDiffOptions, argv, shell.environment);
  const { keyPrefix: prefix = "", from: asked, to: end } = options;
  if (asked !== undefined && end > 0 && asked > end) {
    throw new UsageError(`--from-rev=${asked} is after --to-rev=${end}`);
  }
  return await answer(options, shell, ({ store }) => {
    const to = end === 0 ? store.revision : end;
    // What was before the first change must still be known.
    const first = store.floor < 0 ? 1 : store.floor + 1;
    const from = Math.max(1, asked ?? first);
    const newest = Math.max(from, to);
    if (newest > store.revision) {
      throw new NotFoundError(
        `revision ${newest} is to come: the current one is ${store.revision}`,
      );
    }
    if (from < first) {
      throw new NotFoundError(`changes before revision ${first} are compacted away`);
    }
    const changes = changesIn(store, rangeOf(prefix), from, to);
    const json = { prefix, from_revision: from, to_revision: to, changes };
    const table = () =>
      columns(
        ["KEY", "TYPE", "FIRST_REV", "LAST_REV", "OPS", "BEFORE", "AFTER"],
        changes.map((change) => Object.values(change)),
      );
    return { json, text: () => `${table()}\nChanged ${changes.length} key(s)\n` };
  });
};

const absent = "(absent)";

/** The keys that begin with what was typed. */
function rangeOf(prefix = ""): KeyRange {
  const key = typedKey(prefix);
  return { key, end: prefixEnd(key) ?? openEnd };
}

function countOf(store: Store, range: KeyRange): number {
  const cursor = store.cursor(range, store.revision);
  let keys = 0;
  while (cursor.next()) keys++;
  return keys;
}

/** A pair as JSON carries it. PrevRevision is 0 where there is no version before, or it is compacted. */
function pairJson(pair: KeyValue, store: Store) {
  const { createRevision, key, lease, modRevision, value, version } = pair;
  const previous = version === 1 ? undefined : store.latest(key, modRevision - 1);
  return jsonOf(key, {
    Value: Buffer.from(value).toString("base64"),
    Revision: modRevision as number,
    CreateRevision: createRevision as number,
    PrevRevision: (previous?.modRevision ?? 0) as number,
    Version: version,
    Lease: lease,
  });
}

/** Keys are text in JSON; one that is no UTF-8 is also given byte by byte. */
function jsonOf<T extends object>(key: ByteString, rest: T) {
  const bytes = Buffer.from(key, "latin1");
  const exact = textOf(bytes) === undefined ? { KeyBase64: bytes.toString("base64") } : {};
  return { Key: bytes.toString(), ...exact, ...rest };
}

/** What happened to a key as far as it is kept, oldest first. */
function eventsOf(store: Store, key: ByteString) {
  const events: Event[] = [...store.versions(key)].reverse();
  return events.map((event, at) => {
    const before = events[at - 1];
    const previous = before?.type === "put" ? before.kv : undefined;
    if (event.type === "put") return { Type: "put", KV: pairJson(event.kv, store) };
    const KV = jsonOf(key, {
      Value: "",
      Revision: event.modRevision as number,
      CreateRevision: (previous?.createRevision ?? 0) as number,
      PrevRevision: (previous?.modRevision ?? 0) as number,
      Version: 0,
      Lease: 0n,
    });
    return { Type: "delete", KV };
  });
}

interface Touched {
  readonly first: number;
  last: number;
  operations: number;
}

/** The keys of a range that changed at revisions `from` to `to`, in order. */
function changesIn(store: Store, range: KeyRange, from: number, to: number) {
  const touched = new Map<ByteString, Touched>();
  store.history(from, (revision, _, key) => {
    if (revision > to) return false;
    if (!includes(range, key)) return true;
    const seen = touched.get(key);
    if (seen === undefined) touched.set(key, { first: revision, last: revision, operations: 1 });
    else {
      seen.last = revision;
      seen.operations++;
    }
    return true;
  });
  const inOrder = [...touched].sort(([a], [b]) => (a < b ? -1 : 1));
  return inOrder.map(([key, { first, last, operations }]) => {
    const before = store.latest(key, from - 1);
    const after = store.latest(key, to);
    const type = after === undefined ? "deleted" : before === undefined ? "created" : "updated";
    return {
      key: keyText(key),
      type,
      first_revision: first,
      last_revision: last,
      operations,
      before_value: before === undefined ? absent : valueText(before.value),
      after_value: after === undefined ? absent : valueText(after.value),
    };
  });
}
