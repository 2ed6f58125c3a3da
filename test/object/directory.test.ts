import { expect, spyOn, test } from "bun:test";
import fs from "node:fs";
import { SystemClock } from "../../src/lib/clock.ts";
import { DiskError } from "../../src/lib/disk.ts";
import { lockDescriptor, PosixDisk } from "../../src/lib/posix.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { DirectoryStore } from "../../src/object/directory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { SimClock } from "../sim/clock.ts";
import { temporaryDirectory } from "../support/t4.ts";
import { mountVolume } from "../support/volume.ts";

import { keysOf, kindOf, objectContract } from "./contract.ts";
import { say, whole } from "./rig.ts";

const environment = { clock: new SystemClock(), random: new SystemRandom() };

function open(path: string): DirectoryStore {
  return new DirectoryStore({ path, ...environment });
}

objectContract("directory", () => {
  const directory = temporaryDirectory();
  return { store: open(directory.path), done: () => directory[Symbol.dispose]() };
});

objectContract(
  "directory in small pages",
  () => {
    const directory = temporaryDirectory();
    const store = new DirectoryStore({ path: directory.path, pageKeysMax: 100, ...environment });
    return { store: withPrefix(store, "db"), done: () => directory[Symbol.dispose]() };
  },
  { keysMany: 303 },
);

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await environment.clock.sleep(1);
}

/** Syncs of directories that wait, in order, once `hold` is called. */
function heldSyncs() {
  const held: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const real = PosixDisk.prototype.syncDirectory;
  const spy = spyOn(PosixDisk.prototype, "syncDirectory");
  return {
    held,
    hold: () => {
      spy.mockImplementation(() => {
        const { promise, reject, resolve } = Promise.withResolvers<void>();
        held.push({ resolve, reject });
        return promise;
      });
    },
    count: () => spy.mock.calls.length,
    release: () => {
      spy.mockImplementation(real);
      for (const { resolve } of held.splice(0)) resolve();
    },
    [Symbol.dispose]: () => spy.mockRestore(),
  };
}

test.each(["put_if_absent", "put_if_match", "put"] as const)(
  "what %s writes is read once it is durable",
  async (operation) => {
    using directory = temporaryDirectory();
    using syncs = heldSyncs();
    const store = open(directory.path);
    const tag = await store.put("a/x", Buffer.from("old"));
    const key = operation === "put_if_absent" ? "a/y" : "a/x";
    const bytes = Buffer.from("new");
    syncs.hold();
    const writes = {
      put: () => store.put(key, bytes),
      put_if_absent: () => store.putIfAbsent(key, bytes),
      put_if_match: () => store.putIfMatch(key, bytes, tag),
    };
    const written = writes[operation]();
    await until(() => syncs.held.length > 0);
    expect(fs.readFileSync(`${directory.path}/${key}`, "utf8")).toBe("new");
    let isRead = false;
    const read = store.get(key).then((object) => {
      isRead = true;
      return object?.bytes.toString();
    });
    // Another key's read is a round trip to the file system: time enough for that one.
    for (let at = 0; at < 20; at++) await store.get("b");
    expect(isRead).toBe(false);
    syncs.release();
    expect(await read).toBe("new");
    expect(await written).toBeDefined();
  },
);

test("who is refused a name knows that it is durable", async () => {
  using directory = temporaryDirectory();
  using syncs = heldSyncs();
  const store = open(directory.path);
  await store.put("a/x", Buffer.from("x"));
  const other = open(directory.path);
  await other.put("a/y", Buffer.from("y"));
  const before = syncs.count();
  expect(await other.putIfAbsent("a/x", Buffer.from("z"))).toBeUndefined();
  expect(syncs.count()).toBeGreaterThan(before);
});

test("after a directory could not be synced nothing is believed, whichever it was", async () => {
  using directory = temporaryDirectory();
  using syncs = heldSyncs();
  const store = open(directory.path);
  await store.put("x", Buffer.from("x"));
  syncs.hold();
  const written = kindOf(store.put("new/directory/x", Buffer.from("x")));
  await until(() => syncs.held.length > 0);
  syncs.held.shift()?.reject(new DiskError("EIO", "sync directory", directory.path));
  syncs.release();
  expect(await written).toBe("unknown");
  expect(await kindOf(store.get("x"))).toBe("unknown");
  expect((await open(directory.path).get("x"))?.bytes.toString()).toBe("x");
});

test("processes that share a directory win each key once and lose no update", async () => {
  using directory = temporaryDirectory();
  const store = open(directory.path);
  await store.put("counter", Buffer.from("0 -"));
  const [keys, counts, rounds] = [60, 60, whole ? 20 : 1];
  for (let round = 1; round <= rounds; round++) {
    const racers = ["a", "b", "c"].map((name) => race(directory.path, name, keys, counts));
    await Promise.all(racers.map(({ ready }) => ready));
    for (const { start } of racers) start();
    const won = await Promise.all(racers.map((racer) => racer.won));
    const names = Array.from({ length: keys }, (_, at) => `wal/${at}/x`);
    expect(won.flat().toSorted()).toEqual(names.toSorted());
    for (const [at, name] of ["a", "b", "c"].entries()) {
      for (const key of won[at] ?? []) expect((await store.get(key))?.bytes.toString()).toBe(name);
    }
    const counted = Number.parseInt((await store.get("counter"))?.bytes.toString() ?? "", 10);
    expect(counted).toBe(3 * counts * round);
    for (const key of names) await store.delete(key);
    expect(await keysOf(store, "")).toEqual(["counter"]);
    say(`3 processes: ${keys} keys won ${won.map(({ length }) => length).join(", ")}`);
  }
  // Nothing is left but the counter: no temporary file, no empty directory.
  expect(names(directory.path)).toEqual([".t4", ".t4/lock", "counter"]);
});

test("a process that is killed while it holds the lock holds nobody up", async () => {
  using directory = temporaryDirectory();
  const store = open(directory.path);
  const tag = await store.put("head", Buffer.from("one"));
  const holder = await hold(`${directory.path}/.t4/lock`);
  const write = store.putIfMatch("head", Buffer.from("two"), tag);
  const first = await Promise.race([write, environment.clock.sleep(150).then(() => "held up")]);
  holder.kill("SIGKILL");
  expect([first, await write]).toEqual(["held up", expect.any(String)]);
});

test("a lock that nobody gives up ends the call as a conflict, and a signal ends the wait", async () => {
  using directory = temporaryDirectory();
  const clock = new SimClock();
  const store = new DirectoryStore({ path: directory.path, clock, random: new SystemRandom() });
  await store.put("head", Buffer.from("one"));
  const holder = fs.openSync(`${directory.path}/.t4/lock`, "a");
  expect(lockDescriptor(holder)).toBe(true);
  const given = new AbortController();
  const kinds = Promise.all([
    kindOf(store.put("head", Buffer.from("two"))),
    kindOf(store.put("head", Buffer.from("three"), { signal: given.signal })),
  ]);
  given.abort();
  let settled = false;
  void kinds.then(() => {
    settled = true;
  });
  while (!settled) {
    await clock.advance(10);
    await clock.yield();
  }
  expect(await kinds).toEqual(["conflict", "unknown"]);
  fs.closeSync(holder);
  expect((await store.get("head"))?.bytes.toString()).toBe("one");
  expect(await store.put("head", Buffer.from("four"))).toBeString();
  expect(names(directory.path)).toEqual([".t4", ".t4/lock", "head"]);
});

test("what a killed writer left is never listed, and removed by the next process", async () => {
  using directory = temporaryDirectory();
  await open(directory.path).put("a", Buffer.from("x"));
  fs.writeFileSync(`${directory.path}/.t4/dead`, "half an obj");
  const written = fs.openSync(`${directory.path}/.t4/alive`, "w");
  lockDescriptor(written);
  const next = open(directory.path);
  expect(await keysOf(next, "")).toEqual(["a"]);
  await next.put("b", Buffer.from("x"));
  expect(names(directory.path)).toEqual([".t4", ".t4/alive", ".t4/lock", "a", "b"]);
  fs.closeSync(written);
  expect(await kindOf(next.put(".t4/lock", Buffer.from("x")))).toBe("invalid");
});

test("the directory is made when its parent is there; reading makes nothing", async () => {
  using directory = temporaryDirectory();
  const store = open(`${directory.path}/bucket`);
  expect([
    await kindOf(store.get("a")),
    await kindOf(store.list("")),
    await kindOf(store.delete("a")),
    await kindOf(store.putIfMatch("a", Buffer.from("x"), "tag")),
  ]).toEqual(["noBucket", "noBucket", "noBucket", "noBucket"]);
  expect(names(directory.path)).toEqual([]);
  expect(await store.putIfAbsent("a", Buffer.from("x"))).toBeString();
  const orphan = open(`${directory.path}/no/bucket`).put("a", Buffer.from("x"));
  await expect(orphan).rejects.toThrow(
    `put a failed: there is no directory ${directory.path}/no to make ${directory.path}/no/bucket in`,
  );
});

test("a directory that is removed under a running process is missed, not made again", async () => {
  using directory = temporaryDirectory();
  const store = open(`${directory.path}/bucket`);
  await store.put("a", Buffer.from("x"));
  fs.rmSync(`${directory.path}/bucket`, { recursive: true });
  expect(await kindOf(store.put("a", Buffer.from("x")))).toBe("noBucket");
  expect(await kindOf(store.get("a"))).toBe("noBucket");
});

test("a file system that is gone from under a running process is not taken for an empty bucket", async () => {
  using directory = temporaryDirectory();
  const store = open(directory.path);
  const tag = await store.put("head", Buffer.from("x"));
  fs.rmSync(`${directory.path}/.t4`, { recursive: true });
  fs.rmSync(`${directory.path}/head`);
  expect([
    await kindOf(store.get("head")),
    await kindOf(store.list("")),
    await kindOf(store.putIfAbsent("head", Buffer.from("y"))),
    await kindOf(store.putIfMatch("head", Buffer.from("y"), tag)),
  ]).toEqual(["noBucket", "noBucket", "noBucket", "noBucket"]);
});

test("symbolic links lead nowhere", async () => {
  using directory = temporaryDirectory();
  fs.mkdirSync(`${directory.path}/outside`);
  fs.writeFileSync(`${directory.path}/outside/secret`, "secret");
  const store = open(`${directory.path}/bucket`);
  await store.put("a", Buffer.from("x"));
  fs.symlinkSync("../outside", `${directory.path}/bucket/way`);
  fs.symlinkSync("../outside/secret", `${directory.path}/bucket/file`);
  expect(await keysOf(store, "")).toEqual(["a"]);
  expect(await kindOf(store.get("way/secret"))).toBe("invalid");
  expect(await kindOf(store.get("file"))).toBe("invalid");
  expect(await kindOf(store.put("way/new", Buffer.from("x")))).toBe("invalid");
  // Putting replaces the link and not what it leads to.
  await store.put("file", Buffer.from("x"));
  expect(await keysOf(store, "")).toEqual(["a", "file"]);
  expect(fs.readFileSync(`${directory.path}/outside/secret`, "utf8")).toBe("secret");
  expect(names(`${directory.path}/outside`)).toEqual(["secret"]);
});

test("a key that is another's directory is refused, and a long one", async () => {
  using directory = temporaryDirectory();
  const store = open(directory.path);
  await store.put("a/b", Buffer.from("x"));
  expect([
    await kindOf(store.put("a", Buffer.from("x"))),
    await kindOf(store.putIfAbsent("a", Buffer.from("x"))),
    await kindOf(store.putIfAbsent("a/b/c", Buffer.from("x"))),
    await kindOf(store.put("x".repeat(300), Buffer.from("x"))),
    await kindOf(store.put("é/".repeat(400), Buffer.from("x"))),
  ]).toEqual(["invalid", "invalid", "invalid", "invalid", "invalid"]);
});

test("a full disk is told as full, nothing is left of the object, and room is enough to go on", async () => {
  await using volume = await mountVolume(1);
  const store = open(`${volume.path}/bucket`);
  const tag = await store.put("head", Buffer.from("one"));
  const large = Buffer.alloc(2_000_000, "x");
  expect([
    await kindOf(store.put("sst/a", large)),
    await kindOf(store.putIfAbsent("sst/b", large)),
    await kindOf(store.putIfMatch("head", large, tag)),
  ]).toEqual(["full", "full", "full"]);
  expect(await keysOf(store, "")).toEqual(["head"]);
  expect(await store.putIfMatch("head", Buffer.from("two"), tag)).toBeString();
  expect(names(`${volume.path}/bucket/.t4`)).toEqual(["lock"]);
});

/** Everything under a directory, directories too. */
function names(path: string): string[] {
  return fs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
}

/** A process that races others once all are ready. */
function race(path: string, name: string, keys: number, counts: number) {
  const command = [process.execPath, "test/object/racer.ts", path, name, `${keys}`, `${counts}`];
  const child = Bun.spawn(command, { stdio: ["pipe", "pipe", "inherit"], timeout: 60_000 });
  const ready = Promise.withResolvers<void>();
  const output = (async () => {
    let text = "";
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      if (text.startsWith("ready\n")) ready.resolve();
    }
    ready.resolve();
    return text.slice("ready\n".length);
  })();
  return {
    ready: ready.promise,
    start: () => {
      child.stdin.write("go\n");
      child.stdin.end();
    },
    won: output.then((text) => JSON.parse(text) as string[]),
  };
}

/** A process that has locked `path` and keeps it. */
async function hold(path: string) {
  const script = `
    import { PosixDisk } from "./src/lib/posix.ts";
    const lock = new PosixDisk().lock(${JSON.stringify(path)});
    console.log(lock !== undefined);
    setInterval(() => lock, 1000);`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 30_000,
  });
  for await (const chunk of child.stdout) {
    expect(Buffer.from(chunk).toString()).toBe("true\n");
    break;
  }
  return child;
}
