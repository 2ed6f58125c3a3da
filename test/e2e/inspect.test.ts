/**
 * `t4 inspect` says what the member says, while it runs and when it is dead, and leaves everything
 * as it is.
 */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { KVDefinition, LeaseDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import type { KeyValue } from "../../src/gen/mvccpb/kv.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Client } from "../support/client.ts";
import { type Running, runT4, startT4, temporaryDirectory } from "../support/t4.ts";

const seed = Number(process.env.T4_TEST_SEED ?? 1);
const whole = process.env.T4_TEST_WHOLE === "1";
const everything = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };
const smallMemory = ["--memtable-mb=1", "--segment-max-size-mb=1"];

/** A pair as `--json` shows it. */
interface Shown {
  readonly Key: string;
  readonly KeyBase64?: string;
  readonly Value: string;
  readonly Revision: number;
  readonly CreateRevision: number;
  readonly PrevRevision: number;
  readonly Version: number;
  readonly Lease: number;
}

interface Change {
  readonly key: string;
  readonly type: string;
  readonly first_revision: number;
  readonly last_revision: number;
  readonly operations: number;
  readonly before_value: string;
  readonly after_value: string;
}

/** What a command of inspect answers in JSON. */
async function inspect<T>(directory: string, ...words: string[]): Promise<T> {
  const { code, stderr, stdout } = await runT4([
    "inspect",
    ...words,
    "--data-dir",
    directory,
    "--json",
  ]);
  expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** A pair as the member tells it, in the form of inspect. */
function shown({ createRevision, key, lease, modRevision, value, version }: KeyValue) {
  return {
    Key: text(key),
    Value: Buffer.from(value).toString("base64"),
    Revision: modRevision,
    CreateRevision: createRevision,
    Version: version,
    Lease: Number(lease),
  };
}

/** Without what the member does not tell. */
function told({ PrevRevision: _, KeyBase64: __, ...rest }: Shown): Omit<Shown, "PrevRevision"> {
  return rest;
}

function tablesIn(directory: string): number {
  return fs.readdirSync(`${directory}/db`).filter((name) => name.endsWith(".sst")).length;
}

/** Everything there is below a directory: names, sizes, times and contents. */
function everythingIn(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const path = `${directory}/${name}`;
      const { mtimeMs, size } = fs.statSync(path);
      const isFile = fs.statSync(path).isFile();
      return `${name} ${size} ${mtimeMs} ${isFile ? Bun.hash(fs.readFileSync(path)) : ""}`;
    });
}

/** Writes keys, new versions, deletions, leases and a compaction, until there are tables and a log. */
async function populate(t4: Running, directory: string): Promise<void> {
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  const random = new SeededRandom(seed);
  const { ID: lease } = await client.unary(LeaseDefinition).leaseGrant({ TTL: 10_000 });
  const key = () => Buffer.from(`/app/${random.below(100)}`);
  for (let write = 0; write < 600 || tablesIn(directory) < 2; write++) {
    if (random.below(6) === 0) await kv.deleteRange({ key: key() });
    else {
      const value = Buffer.alloc(random.below(12_000), `value ${write} `);
      await kv.put({ key: key(), value, lease: random.below(8) === 0 ? lease : 0n });
    }
    if (write === 200) await kv.compact({ revision: 100, physical: true });
  }
  await kv.put({ key: Buffer.from([0, 255, 1]), value: Buffer.from([255, 0]) });
  await kv.put({ key: Buffer.from("/other/ü 1"), value: Buffer.from('line\n"two"') });
  client.close();
}

/** Holds what inspect says of a directory against what the member says of itself. */
async function compare(directory: string, truth: Awaited<ReturnType<typeof truthOf>>) {
  const { floor, kvs, past, revision } = truth;
  expect(await inspect<object>(directory, "meta")).toMatchObject({
    data_dir: directory,
    current_revision: revision,
    compact_revision: floor,
    total_keys: kvs.length,
    leases: 1,
  });
  const all = await inspect<Shown[]>(directory, "list", "--limit", "0");
  expect(all.map(told)).toEqual(kvs.map(shown));
  expect(await inspect<object>(directory, "count")).toEqual({ prefix: "", count: kvs.length });
  const app = kvs.filter(({ key }) => text(key).startsWith("/app/"));
  expect(await inspect<object>(directory, "count", "--prefix=/app/")).toMatchObject({
    count: app.length,
  });
  const some = await inspect<Shown[]>(directory, "list", "/app/", "--limit=7");
  expect(some.map(told)).toEqual(app.slice(0, 7).map(shown));
  const key = text(app[0]?.key ?? new Uint8Array(0));
  expect(told(await inspect<Shown>(directory, "get", key))).toEqual(shown(app[0] as KeyValue));
  await compareHistory(directory, key, past);
  await compareDiff(directory, kvs, past, revision);
}

/** The key's versions are those that reads at all revisions show. */
async function compareHistory(
  directory: string,
  key: string,
  past: ReadonlyMap<number, readonly KeyValue[]>,
) {
  const events = await inspect<{ Type: string; KV: Shown }[]>(
    directory,
    "history",
    key,
    "--limit=0",
  );
  expect(events.length).toBeGreaterThan(0);
  for (const [revision, kvs] of past) {
    const then = kvs.find((pair) => text(pair.key) === key);
    const event = events.findLast(({ KV }) => KV.Revision <= revision);
    if (then === undefined) expect(event?.Type ?? "delete").toBe("delete");
    else expect(event && told(event.KV)).toEqual(shown(then));
  }
}

/** The keys that changed are those that two reads show differently, and those that came back the same. */
async function compareDiff(
  directory: string,
  kvs: readonly KeyValue[],
  past: ReadonlyMap<number, readonly KeyValue[]>,
  revision: number,
) {
  const [[from, before] = [0, []]] = past;
  const { changes } = await inspect<{ changes: Change[] }>(
    directory,
    "diff",
    `--from-rev=${from + 1}`,
    "--prefix=/app/",
  );
  const at = (pairs: readonly KeyValue[], key: string) =>
    pairs.find((pair) => text(pair.key) === key);
  for (const { after_value, before_value, first_revision, key, last_revision, type } of changes) {
    const [old, now] = [at(before, key), at(kvs, key)];
    const expected = now === undefined ? "deleted" : old === undefined ? "created" : "updated";
    expect({ key, type }).toEqual({ key, type: expected });
    expect(before_value === "(absent)").toBe(old === undefined);
    expect(after_value).toBe(now === undefined ? "(absent)" : JSON.stringify(text(now.value)));
    expect(first_revision).toBeGreaterThan(from);
    expect(last_revision).toBeLessThanOrEqual(revision);
    if (now !== undefined) expect(last_revision).toBe(now.modRevision);
  }
  const changed = kvs.filter(
    ({ key, modRevision }) => modRevision > from && text(key).startsWith("/app/"),
  );
  const named = new Set(changes.map(({ key }) => key));
  expect(changed.filter(({ key }) => !named.has(text(key)))).toEqual([]);
}

/** What the member says: now, and at some revisions, oldest first. */
async function truthOf(t4: Running) {
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  const { header, kvs } = await kv.range(everything);
  const revision = header?.revision ?? 0;
  const past = new Map<number, readonly KeyValue[]>();
  for (let at = 100; at < revision; at += 61) {
    past.set(at, (await kv.range({ ...everything, revision: at })).kvs);
  }
  client.close();
  return { floor: 100, kvs, past, revision };
}

test("inspect answers as the member does, while it runs and when it is dead", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path, smallMemory);
  await populate(t4, directory.path);
  const truth = await truthOf(t4);
  await compare(directory.path, truth);
  t4.signal("SIGKILL");
  await t4.exited;
  // What a start would tidy up is left as it is too.
  fs.writeFileSync(`${directory.path}/wal/00000000000000000009-0000000009.wal.tmp`, "half");
  fs.writeFileSync(`${directory.path}/db/MANIFEST.tmp`, "half");
  const newest = fs.readdirSync(`${directory.path}/wal`).findLast((name) => name.endsWith(".wal"));
  fs.appendFileSync(`${directory.path}/wal/${newest}`, Buffer.alloc(700));
  const before = everythingIn(directory.path);
  await compare(directory.path, truth);
  expect(everythingIn(directory.path)).toEqual(before);
}, 60_000);

test("inspect sees whole writes, none older than those acknowledged, while writers run", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path, smallMemory);
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  const acknowledged = new Map<string, number>();
  let newest = 0;
  let isOver = false;
  let writes = 0;
  const write = async (writer: number) => {
    for (let round = 1; !isOver; round++) {
      const name = `/${writer}/${round % 20}`;
      const value = Buffer.alloc(4000, `${name}=${round} `);
      const { header } = await kv.put({ key: Buffer.from(name), value });
      acknowledged.set(name, round);
      newest = Math.max(newest, header?.revision ?? 0);
      writes++;
    }
  };
  const writers = Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
  const rounds = whole ? 100 : 12;
  let replaced = 0;
  let looks = 0;
  for (let manifest = ""; looks < rounds || replaced < 3; looks++) {
    const floor = new Map(acknowledged);
    const least = newest;
    const pairs = await inspect<Shown[]>(directory.path, "list", "--limit=0");
    const found = new Map(pairs.map(({ Key, Value }) => [Key, Buffer.from(Value, "base64")]));
    for (const [name, least] of floor) {
      const [, round] = /=(\d+) /.exec(String(found.get(name))) ?? [];
      expect(Number(round)).toBeGreaterThanOrEqual(least);
      expect(found.get(name)).toEqual(Buffer.alloc(4000, `${name}=${round} `));
    }
    const newestShown = Math.max(1, ...pairs.map(({ Revision }) => Revision));
    expect(newestShown).toBeGreaterThanOrEqual(least);
    const now = fs.readFileSync(`${directory.path}/db/MANIFEST`, "latin1");
    if (now !== manifest) replaced++;
    manifest = now;
  }
  isOver = true;
  await writers;
  client.close();
  process.stdout.write(`${looks} looks at ${writes} writes, ${replaced} manifests\n`);
  const { current_revision } = await inspect<{ current_revision: number }>(directory.path, "meta");
  expect(current_revision).toBe(newest);
}, 120_000);

test("answers are text that people know, unless JSON is asked for", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  for (const value of ["one", "two\n"]) {
    await kv.put({ key: Buffer.from("a key"), value: Buffer.from(value) });
  }
  await kv.put({ key: Buffer.from([1, 2]), value: Buffer.from([0xff]) });
  await kv.put({ key: Buffer.from("gone"), value: Buffer.from("x") });
  await kv.deleteRange({ key: Buffer.from("gone") });
  client.close();
  const answers: [string[], string][] = [
    [
      ["meta"],
      `Data dir:          ${directory.path}
Tables dir:        ${directory.path}/db
Current revision:  6
Compact revision:  0
Total keys:        2
`,
    ],
    [
      ["get", "a key"],
      `Key:              a key
Value:            "two\\n"
Revision:         3
Create revision:  2
Prev revision:    2
Lease:            0
`,
    ],
    [
      ["list"],
      `KEY     REV  CREATE  PREV  LEASE  VALUE
0x0102  4    4       0     0      0xff
a key   3    2       2     0      "two\\n"

Listed 2 key(s)
`,
    ],
    [["count"], "2\n"],
    [["count", "--prefix", "a"], "a: 1\n"],
    [
      ["history", "gone"],
      `REV  TYPE    CREATE  PREV  LEASE  VALUE
5    put     5       0     0      "x"
6    delete  5       5     0      (absent)

Listed 2 event(s)
`,
    ],
    [["history", "gone", "--limit=1"], expect.stringContaining("\n\nListed 1 event(s)\n")],
    [
      ["diff", "--from-rev=3"],
      `KEY     TYPE     FIRST_REV  LAST_REV  OPS  BEFORE    AFTER
0x0102  created  4          4         1    (absent)  0xff
a key   updated  3          3         1    "one"     "two\\n"
gone    deleted  5          6         2    (absent)  (absent)

Changed 3 key(s)
`,
    ],
    [["count", "--output=json"], '{"prefix":"","count":2}\n'],
  ];
  for (const [words, stdout] of answers) {
    const found = await runT4(["inspect", ...words, "--data-dir", directory.path]);
    expect({ words, ...found }).toEqual({ words, code: 0, stdout, stderr: "" });
  }
});

test("what is not there is told in one line and by the exit code", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(`${directory.path}/data`);
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  for (let put = 0; put < 5; put++) await kv.put({ key: Buffer.from("key") });
  await kv.compact({ revision: 4 });
  client.close();
  fs.mkdirSync(`${directory.path}/empty`);
  const cases: [string[], number, string][] = [
    [["get", "nothing"], 3, "there is no key nothing"],
    [["history", "nothing"], 3, "there never was a key nothing"],
    [["diff", "--to-rev=99"], 3, "revision 99 is to come: the current one is 6"],
    [["diff", "--from-rev=2"], 3, "changes before revision 5 are compacted away"],
    [["meta", `--data-dir=${directory.path}/none`], 78, "none does not exist"],
    [["meta", `--data-dir=${directory.path}/empty`], 78, "empty is empty"],
    [["meta", `--data-dir=${directory.path}`], 78, "is not a T4 data directory"],
    [["meta", `--data-dir=${directory.path}/data/MEMBER`], 78, "MEMBER is no directory"],
    [["meta", `--data-dir=${directory.path}/data/db`], 78, "is not a T4 data directory"],
  ];
  for (const [words, code, line] of cases) {
    const flags = words.some((word) => word.startsWith("--data-dir"))
      ? words
      : [...words, `--data-dir=${directory.path}/data`];
    const found = await runT4(["inspect", ...flags]);
    expect({ words, ...found }).toEqual({
      words,
      code,
      stdout: "",
      stderr: expect.stringMatching(new RegExp(`^t4: [^\n]*${line}[^\n]*\n$`)),
    });
  }
});
