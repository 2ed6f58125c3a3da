/** What every ObjectStore does, whoever made it. */
import { expect, test } from "bun:test";
import { listAll, ObjectError, type ObjectStore } from "../../src/object/store.ts";

/** A store for one test; `store` is empty. */
export interface Subject {
  readonly store: ObjectStore;
  /** Whether finding its own bytes counts as having written them. */
  readonly knowsItsBytes?: boolean;
  readonly done?: () => Promise<void> | void;
}

type Work = (store: ObjectStore, subject: Subject) => Promise<void>;
type On = (truth: string, work: Work) => void;

const bytesOf = (text: string) => Buffer.from(text);

export interface ContractOptions {
  /** How long one test may take. */
  readonly testMsMax?: number;
  /** How many keys make a long list: more than a page of a server has, where that is what counts. */
  readonly keysMany?: number;
}

/** Runs the suite over stores that `make` gives, an empty one for each test. */
export function objectContract(
  name: string,
  make: () => Promise<Subject> | Subject,
  { keysMany = 1_203, testMsMax = 20_000 }: ContractOptions = {},
): void {
  const on: On = (truth, work) =>
    test(
      `${name}: ${truth}`,
      async () => {
        const subject = await make();
        try {
          await work(subject.store, subject);
        } finally {
          await subject.done?.();
        }
      },
      testMsMax,
    );
  objectsContract(on);
  conditionsContract(on);
  racesContract(on);
  listsContract(on);
  pagesContract(on, keysMany);
  callsContract(on);
}

function objectsContract(on: On): void {
  on("what was put is got, byte for byte, and replaced by the next put", async (store) => {
    const every = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 256));
    const contents = [every, Buffer.alloc(0), bytesOf("hello"), Buffer.alloc(3_000_000, "abcdefg")];
    const tags = new Set<string>();
    for (const bytes of contents) {
      const tag = await store.put("wal/00000000000000000001", bytes);
      const object = await store.get("wal/00000000000000000001");
      expect(object?.tag).toBe(tag);
      expect(object?.bytes.equals(bytes)).toBe(true);
      tags.add(tag);
    }
    expect(tags.size).toBe(contents.length);
  });

  on("a part of a buffer is put as that part", async (store) => {
    const whole = bytesOf("0123456789");
    await store.put("part", whole.subarray(3, 6));
    await store.putIfAbsent("part2", new Uint8Array(whole.buffer, whole.byteOffset + 1, 2));
    expect((await store.get("part"))?.bytes.toString()).toBe("345");
    expect((await store.get("part2"))?.bytes.toString()).toBe("12");
  });

  on("where nothing was put, nothing is got", async (store) => {
    await store.put("a/b/c", bytesOf("x"));
    expect(await store.get("nothing")).toBeUndefined();
    expect(await store.get("a/b")).toBeUndefined();
    expect(await store.get("a/b/d/e")).toBeUndefined();
    expect(await store.getIfChanged("nothing", "tag")).toBeUndefined();
  });

  on("an object is told from one that has not changed", async (store) => {
    const tag = await store.put("head", bytesOf("one"));
    expect(await store.getIfChanged("head", tag)).toBe("same");
    const next = await store.put("head", bytesOf("two"));
    const changed = await store.getIfChanged("head", tag);
    expect(changed).toEqual({ bytes: bytesOf("two"), tag: next });
    expect(await store.getIfChanged("head", next)).toBe("same");
  });

  on("a deleted object is gone, and deleting it again is fine", async (store) => {
    await store.put("sst/a", bytesOf("a"));
    await store.put("sst/b", bytesOf("b"));
    await store.delete("sst/a");
    await store.delete("sst/a");
    await store.delete("never/was");
    expect(await store.get("sst/a")).toBeUndefined();
    expect(await keysOf(store, "")).toEqual(["sst/b"]);
    await store.delete("sst/b");
    expect(await keysOf(store, "")).toEqual([]);
    await store.put("sst/a", bytesOf("again"));
    expect((await store.get("sst/a"))?.bytes.toString()).toBe("again");
  });

  on("keys may have spaces, signs and letters of any script", async (store) => {
    const keys = ["a b+c", "a%20b", "branches/größe", "x=1&y=2?z#f", "日本/語", "q'\"<>;:,@!$()*~"];
    for (const key of keys) await store.put(key, bytesOf(key));
    for (const key of keys) expect((await store.get(key))?.bytes.toString()).toBe(key);
    expect(await keysOf(store, "")).toEqual(
      keys.toSorted((a, b) => Buffer.compare(bytesOf(a), bytesOf(b))),
    );
  });
}

function conditionsContract(on: On): void {
  on("put if absent writes once, also after a deletion", async (store, { knowsItsBytes }) => {
    const tag = await store.putIfAbsent("lock", bytesOf("one"));
    expect(tag).toBeString();
    expect(await store.putIfAbsent("lock", bytesOf("two"))).toBeUndefined();
    const same = await store.putIfAbsent("lock", bytesOf("one"));
    expect(same).toBe(knowsItsBytes ? tag : undefined);
    expect(await store.get("lock")).toEqual({ bytes: bytesOf("one"), tag: tag ?? "" });
    await store.delete("lock");
    expect(await store.putIfAbsent("lock", bytesOf("two"))).toBeString();
  });

  on("put if match writes over the content that was named, and no other", async (store) => {
    const one = await store.put("lock", bytesOf("one"));
    const two = await store.putIfMatch("lock", bytesOf("two"), one);
    expect(two).toBeString();
    expect(await store.putIfMatch("lock", bytesOf("three"), one)).toBeUndefined();
    expect(await store.get("lock")).toEqual({ bytes: bytesOf("two"), tag: two ?? "" });
    expect(await store.putIfMatch("lock", bytesOf("three"), two ?? "")).toBeString();
  });

  on("put if match writes nothing where nothing is", async (store) => {
    const tag = await store.put("lock", bytesOf("one"));
    await store.delete("lock");
    expect(await store.putIfMatch("lock", bytesOf("two"), tag)).toBeUndefined();
    expect(await store.putIfMatch("other", bytesOf("two"), tag)).toBeUndefined();
    expect(await keysOf(store, "")).toEqual([]);
  });
}

function racesContract(on: On): void {
  on("of ten that put if absent at once, one has written", async (store) => {
    for (let round = 0; round < 5; round++) {
      const key = `wal/${round}`;
      const tags = await Promise.all(
        Array.from({ length: 10 }, (_, at) => once(() => store.putIfAbsent(key, bytesOf(`${at}`)))),
      );
      const winners = [...tags.entries()].filter(([, tag]) => tag !== undefined);
      expect(winners).toHaveLength(1);
      const [[winner, tag] = []] = winners;
      expect(await store.get(key)).toEqual({ bytes: bytesOf(`${winner}`), tag: tag ?? "" });
    }
  });

  on("what many count up by put if match adds up to what they were told", async (store) => {
    await store.put("counter", bytesOf("0 -"));
    let told = 0;
    const count = async (writer: number) => {
      for (let left = 5; left > 0; ) {
        const object = await store.get("counter");
        const next = Number.parseInt(object?.bytes.toString() ?? "", 10) + 1;
        const bytes = bytesOf(`${next} ${writer}.${left}`);
        const tag = await once(() => store.putIfMatch("counter", bytes, object?.tag ?? ""));
        if (tag === undefined) continue;
        left--;
        told++;
      }
    };
    await Promise.all([1, 2, 3, 4].map(count));
    expect(told).toBe(20);
    expect(Number.parseInt((await store.get("counter"))?.bytes.toString() ?? "", 10)).toBe(20);
  });
}

function listsContract(on: On): void {
  on("a list has the keys with the prefix in byte order, with size and time", async (store) => {
    const keys = ["a", "a-b", "a.b", "a0", "ab/", "b", "é", "\u{1f600}", "\uff5e"]
      .map((key) => key.replace(/\/$/, "/x"))
      .concat("a!/x", "dir/1", "dir/2/3", "dir0", "dir-");
    for (const key of keys) await store.put(key, bytesOf("12345"));
    const inOrder = keys.toSorted((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)));
    expect(await keysOf(store, "")).toEqual(inOrder);
    const begin = (prefix: string) => inOrder.filter((key) => key.startsWith(prefix));
    for (const prefix of ["a", "dir", "dir/", "dir/2", "dir/2/", "é", "zz", "dir/2/3", "dir/2/3/"])
      expect(await keysOf(store, prefix)).toEqual(begin(prefix));
    const [first] = (await store.list("a")).objects;
    expect(first?.bytes).toBe(5);
    expect(Math.abs((first?.modifiedMs ?? 0) - Date.now())).toBeLessThan(600_000);
  });

  on("a list goes on after any key, whether it is there or not", async (store) => {
    const keys = ["wal/1", "wal/2", "wal/3/x", "wal/4"];
    for (const key of [...keys, "a", "zz"]) await store.put(key, bytesOf(key));
    const after = async (key: string) =>
      (await store.list("wal/", key)).objects.map((object) => object.key);
    expect(await after("wal/1")).toEqual(keys.slice(1));
    expect(await after("wal/25")).toEqual(keys.slice(2));
    expect(await after("wal/3")).toEqual(keys.slice(2));
    expect(await after("wal/3/x")).toEqual(keys.slice(3));
    expect(await after("wal/4")).toEqual([]);
    expect(await after("a")).toEqual(keys);
  });

  on("a list has what was just written and lacks what was just deleted", async (store) => {
    for (let at = 0; at < 10; at++) {
      await store.put(`list/${at}`, bytesOf("x"));
      expect(await keysOf(store, "list/")).toEqual([`list/${at}`]);
      await store.delete(`list/${at}`);
    }
    expect(await keysOf(store, "list/")).toEqual([]);
  });
}

function pagesContract(on: On, keysMany: number): void {
  on("a long list comes in pages, each key once", async (store) => {
    const keys = Array.from({ length: keysMany }, (_, at) => `wal/${`${at}`.padStart(20, "0")}`);
    await inTurns(keys, 16, (key) => store.put(key, bytesOf("x")));
    const page = await store.list("wal/");
    expect(page.hasMore).toBe(page.objects.length < keys.length);
    expect(await keysOf(store, "wal/")).toEqual(keys);
    expect(await keysOf(store, "wal/", keys[keysMany - 99])).toEqual(keys.slice(-98));
    await inTurns(keys, 16, (key) => store.delete(key));
    expect(await keysOf(store, "")).toEqual([]);
  });
}

function callsContract(on: On): void {
  on("keys that mean something else in a path or a URL are refused", async (store) => {
    const refused = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "../a", "a\0b", "a\nb"];
    const failures = refused.flatMap((key) => [
      kindOf(store.get(key)),
      kindOf(store.put(key, bytesOf("x"))),
      kindOf(store.putIfAbsent(key, bytesOf("x"))),
      kindOf(store.putIfMatch(key, bytesOf("x"), "tag")),
      kindOf(store.delete(key)),
    ]);
    // Below a prefix the empty key is the prefix itself, which is no key either.
    expect(new Set(await Promise.all(failures))).toEqual(new Set(["invalid"]));
    expect(await keysOf(store, "../")).toEqual([]);
    expect(await keysOf(store, "")).toEqual([]);
  });

  on(
    "a call that was given up before it began fails as unknown and writes nothing",
    async (store) => {
      const signal = AbortSignal.abort();
      expect([
        await kindOf(store.put("a", bytesOf("x"), { signal })),
        await kindOf(store.putIfAbsent("a", bytesOf("x"), { signal })),
        await kindOf(store.get("a", { signal })),
        await kindOf(store.list("", undefined, { signal })),
        await kindOf(store.delete("a", { signal })),
      ]).toEqual(["unknown", "unknown", "unknown", "unknown", "unknown"]);
      expect(await keysOf(store, "")).toEqual([]);
    },
  );

  on("every address names a place", (store) => {
    expect(store.address).toMatch(/^[a-z0-9]+:/);
    return Promise.resolve();
  });
}

/** The kind of error a call ends with; "none" when it ends well. */
export async function kindOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    if (error instanceof ObjectError) return error.kind;
    throw error;
  }
}

export async function keysOf(
  store: ObjectStore,
  prefix: string,
  after?: string,
): Promise<string[]> {
  const listed = listAll(store, prefix, after === undefined ? {} : { after });
  return (await Array.fromAsync(listed)).map(({ key }) => key);
}

/** A conditional write's answer; calls at the same time that were refused for that are made again. */
async function once<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ObjectError && error.kind === "conflict")) throw error;
    }
  }
}

/** Calls `work` for all of `items`, `width` at a time. */
export async function inTurns<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const waiting = items.values();
  const worker = async () => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
