/** The commands that look after a bucket, as a person at a terminal has them, and what they refuse. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fs from "node:fs";
import { execute } from "../../src/cli/command.ts";
import { bytesText, spanText } from "../../src/cli/errand.ts";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { ladder, moment, Unreadable } from "../../src/cli/value.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { origin, termOf } from "../../src/model/revision.ts";
import { DirectoryStore } from "../../src/object/directory.ts";
import { checkpointKey, lockKey, logKey, seqOf } from "../../src/object/keys.ts";
import { listAll, type ObjectStore } from "../../src/object/store.ts";
import { encodeHead } from "../../src/replication/lock.ts";
import { encodeLogObject, noHash } from "../../src/replication/record.ts";
import { makeHistory } from "../member/source.ts";
import { temporaryDirectory } from "../support/t4.ts";

const kept = temporaryDirectory();
let store: ObjectStore;
let url = "";

beforeAll(async () => {
  const { bucket } = await makeHistory(30, 6);
  const path = `${kept.path}/bucket`;
  url = `file://${path}`;
  store = new DirectoryStore({ path, clock: new SystemClock(), random: new SystemRandom() });
  for await (const { key } of listAll(bucket, "")) {
    await store.put(key, (await bucket.get(key))?.bytes ?? Buffer.alloc(0));
  }
});
afterAll(() => kept[Symbol.dispose]());

interface Told {
  readonly code: number;
  readonly printed: string;
  readonly said: string;
}

/** Carries a command out for somebody who answers with these lines; nobody, when there are none. */
async function t4(line: string, ...answers: string[]): Promise<Told> {
  let [printed, said] = ["", ""];
  const waiting = [...answers];
  try {
    const code = await execute(line.split(" "), {
      environment: { T4_OBJECT_STORE: url },
      interactive: false,
      answers: answers.length > 0,
      readLine: () => Promise.resolve(waiting.shift()),
      print: (text) => {
        printed += text;
      },
      warn: (text) => {
        said += text;
      },
    });
    return { code, printed, said };
  } catch (error) {
    return { code: exitCodeOf(error), printed, said: (error as Error).message };
  }
}

async function keysOf(prefix: string): Promise<string[]> {
  return (await Array.fromAsync(listAll(store, prefix))).map(({ key }) => key);
}

test("gc says on a terminal what it will delete, and asks", async () => {
  const before = await keysOf("");
  const refused = await t4("gc --prefix=db --keep=2", "n");
  expect(refused).toEqual({
    code: 0,
    printed: "",
    said: expect.stringMatching(
      /^This deletes from file:.*\/db\/\n {2}\d+ checkpoints\n {2}\d+ orphan tables?, \d+ bytes.*\n {2}\d+ log objects, \d+ bytes.*, in slots 2 to \d+\nGo on\? \[y\/N\] Nothing was deleted\.\n$/,
    ),
  });
  const dry = await t4("gc --s3-prefix=db --keep=2 --dry-run -o json", "y");
  const told = JSON.parse(dry.printed);
  expect(told).toMatchObject({ dry_run: true, unreadable: [], log_slots: { first: 2 } });
  const { first, last } = told.log_slots;
  const doomed = (await keysOf("db/wal/")).map((key) => seqOf(key.slice(3)) ?? 0);
  // The leader's fence is before them; between them is no other.
  expect(doomed.filter((seq) => seq >= first && seq <= last)).toHaveLength(
    told.wal_segments_deleted,
  );
  const shown = await t4("gc --s3-prefix=db --keep=2 --dry-run");
  expect(shown.printed).toEndWith(
    `\nwal/ in slots 2 to ${last}: ${told.wal_segments_deleted} objects with data\n`,
  );
  expect(await keysOf("")).toEqual(before);
  const agreed = await t4("gc --prefix=db --keep=2 --json", "y");
  const { checkpoints_deleted: deleted } = JSON.parse(agreed.printed);
  expect({ code: agreed.code, dry: JSON.parse(dry.printed).checkpoints_deleted }).toEqual({
    code: 0,
    dry: deleted,
  });
  expect((await keysOf("db/checkpoint/")).length).toBe(2);
  const nothing = await t4("gc --prefix=db --keep=2", "no question is asked");
  expect({ ...nothing, printed: nothing.printed.split("\n")[0] }).toEqual({
    code: 0,
    printed: "GC complete",
    said: "",
  });
});

test("gc deletes nothing while an object cannot be read, and names it", async () => {
  const [key = ""] = await keysOf("db/checkpoint/");
  const bytes = (await store.get(key))?.bytes ?? Buffer.alloc(0);
  await store.put(key, Buffer.from("{}"));
  const { code, printed, said } = await t4("gc --prefix=db --keep=1");
  await store.put(key, bytes);
  expect({ code, printed }).toEqual({
    code: 7,
    printed: "GC refused: 1 object cannot be read, nothing was deleted\n",
  });
  expect(said).toStartWith(`${key.replace("db/", "")} cannot be read: `);
});

test("unfork asks on a terminal, does as told without one, and tells of a dry run", async () => {
  expect((await t4("branch fork --prefix=db --branch-id=twig")).code).toBe(0);
  const asked = await t4("branch unfork --prefix=db --branch-id=twig", "n");
  expect(asked.said).toMatch(
    /^This lets go of file:.*branches\/twig, which keeps checkpoint\/.*\n {2}The branch has not started\.\nGo on\? \[y\/N\] The branch keeps its pin\.\n$/,
  );
  const dry = await t4("branch unfork --prefix=db --branch-id=twig --dry-run --json");
  expect(JSON.parse(dry.printed)).toMatchObject({ branch: "twig", released: false });
  expect(await t4("branch unfork --prefix=db --branch-id=twig --dry-run")).toEqual({
    code: 0,
    printed: expect.stringMatching(/^This lets go of file:.*\n {2}The branch has not started\.\n$/),
    said: "",
  });
  const list = await t4("branch list --prefix=db -o json");
  expect(JSON.parse(list.printed)).toMatchObject([{ id: "twig", prefix: null, verified: true }]);
  expect(await t4("branch unfork --prefix=db --branch-id=twig")).toEqual({
    code: 0,
    printed: "",
    said: "",
  });
  expect((await t4("branch unfork --prefix=db --branch-id=twig")).code).toBe(3);
});

test("what cannot be done is refused with a code and what can be done", async () => {
  const codes = await Promise.all(
    [
      "restore",
      "restore --at=yesterday --data-dir=x",
      "restore --at=5",
      "restore checkpoint",
      "branch fork --prefix=db",
      "recover",
      "recover --accept-loss --prefix=nothing",
      "restore pin --id=x --prefix=db",
      "restore pin --id=reading-x --prefix=db",
      "restore pin --id=x --prefix=db --at=7",
      "gc --keep-ladder=1h",
      "restore --at=2099-01-01T00:00:00Z --data-dir=/nowhere/x --prefix=db",
    ].map(async (line) => (await t4(line)).code),
  );
  expect(codes).toEqual([2, 2, 2, 2, 2, 2, 3, 78, 2, 2, 2, 3]);
  expect((await t4("restore")).said).toEndWith("; or --at and --data-dir");
});

test("an empty prefix has a status, no checkpoints and no branches", async () => {
  const { code, printed } = await t4("status --prefix=nothing");
  expect({ code, printed }).toEqual({
    code: 0,
    printed: expect.stringContaining(`
There is no database here.

Latest checkpoint
  (none: no checkpoint has been written yet)

Storage objects
  checkpoints: 0
  WAL segments: 0

Branch forks
  (none)

Log
  (none)

Leader
  (none: nobody has led here yet)
`),
  });
  const databases = ["nothing", "db"].map(async (prefix) => {
    return JSON.parse((await t4(`status --prefix=${prefix} -o json`)).printed).database;
  });
  expect(await Promise.all(databases)).toEqual([false, true]);
  expect((await t4("status --prefix=db")).printed).not.toContain("no database");
  expect((await t4("restore list --prefix=nothing")).printed).toBe("No checkpoints found.\n");
  expect((await t4("branch list --prefix=nothing")).printed).toBe("No branches found.\n");
});

test("a prefix without a database is not verified: what is not there is not sound", async () => {
  expect(await t4(`verify --object-store=${url} --s3-prefix=nothing`)).toEqual({
    code: 3,
    printed: "",
    said: `there is no database in ${url}/nothing/`,
  });
  // What is left of one is looked at, whatever is left.
  for (const key of [lockKey, logKey(1), checkpointKey(1, 5)]) {
    await store.put(`rest/${key}`, Buffer.from("x"));
    const { code, printed } = await t4(`verify --object-store=${url} --s3-prefix=rest`);
    await store.delete(`rest/${key}`);
    expect({ key, code }).toEqual({ key, code: 7 });
    expect(printed).toEndWith("\nDamaged in 1 place(s)\n");
  }
});

test("a bucket that never answers is named soon, with the code that says so", async () => {
  const place = "--object-store=s3://b/db --s3-endpoint=http://127.0.0.1:9";
  const keys = "--s3-access-key-id=x --s3-secret-access-key=y";
  const start = performance.now();
  const told = await Promise.all(
    ["status", "gc", "verify", "inspect meta", "branch list"].map((line) => {
      return t4(`${line} ${place} ${keys}`);
    }),
  );
  for (const { code, said } of told) {
    expect({ code, said }).toEqual({
      code: 69,
      said: expect.stringMatching(/^(get|list) s3:\/\/b\/db\/.* failed: ECONNREFUSED/),
    });
  }
  expect(performance.now() - start).toBeLessThan(15_000);
}, 30_000);

test("what recover says was written last is what the log ended with, not its own fence", async () => {
  const put = async (key: string, bytes: Uint8Array) => await store.put(`alone/${key}`, bytes);
  const member = { incarnation: 5n, name: "one", address: "" };
  const said = { cluster: 7n, term: termOf(3), leader: member, iss: [5n], s3: false };
  const more = { readLeaseMs: 0, fenceSeq: 1, ver: 1, nonce: "0".repeat(32), wallMs: 0 };
  await put(lockKey, encodeHead({ ...said, ...more }));
  const wallMs = Date.UTC(2026, 0, 7);
  const fence = { kind: "fence" as const, seq: 1, writer: 5n, nonce: 1n, previousHash: noHash };
  const at = { base: origin, firstRevision: 1, lastRevision: 1, wallMs };
  await put(logKey(1), encodeLogObject({ cluster: 7n, term: termOf(3), ...fence, ...at }, []));
  const { code, printed } = await t4("recover --accept-loss --yes --prefix=alone -o json");
  expect(code).toBe(0);
  expect(JSON.parse(printed)).toMatchObject({
    accepted: true,
    last_revision: 1,
    last_written: "2026-01-07T00:00:00.000Z",
    term: 4,
  });
  const status = JSON.parse((await t4("status --prefix=alone -o json")).printed);
  expect([status.log.last_slot, status.lock.leader]).toEqual([2, "t4 recover"]);
});

test("a restore that has nothing to put leaves no directory", async () => {
  const { checkpoint, revision } = JSON.parse(
    (await t4("restore list --prefix=db -o json")).printed,
  )[0];
  const old = Number(revision) - 1;
  const lines = [
    `restore --prefix=db --at=${old}`,
    "restore --prefix=db --at=2001-01-01T00:00:00Z",
    "restore --prefix=db --at=999999",
    "restore --prefix=nothing --at=5",
    `restore checkpoint --prefix=db --checkpoint=${checkpoint}x`,
    "restore checkpoint --prefix=nothing",
    "restore point --prefix=db --id=none",
  ];
  for (const line of lines) {
    const path = `${kept.path}/restored`;
    const { code } = await t4(`${line} --data-dir=${path}/one`);
    expect({ line, code, made: fs.existsSync(path) }).toEqual({ line, code: 3, made: false });
  }
});

test("a group that does something itself says so in its help", async () => {
  const { printed } = await t4("restore --help");
  expect(printed).toContain("  t4 restore list ");
  expect(printed).toContain("  --at <time|revision>\n");
  expect((await t4("restore list --help")).printed).toStartWith("t4 restore list: ");
  for (const line of ["status", "gc", "branch fork", "restore checkpoint", "recover", "verify"]) {
    const { code, printed: help } = await t4(`${line} --help`);
    expect({ line, code, wide: help.split("\n").filter((each) => each.length > 100) }).toEqual({
      line,
      code: 0,
      wide: [],
    });
  }
});

test("moments and ladders are read as people write them", () => {
  const moments = ["7", "2026-11-25T13:00:00Z", "2026-11-25 14:00:00.5+01:00", "now", "2026-11-25"];
  const read = moments.map((text) => moment().read(text));
  expect(read.slice(0, 3)).toEqual([
    { revision: 7 },
    { wallMs: Date.UTC(2026, 10, 25, 13) },
    { wallMs: Date.UTC(2026, 10, 25, 13, 0, 0, 500) },
  ]);
  expect(read.slice(3).every((each) => each instanceof Unreadable)).toBe(true);
  expect(ladder().read("1h:24h, 1d:30d")).toEqual([
    { everyMs: 3_600_000, forMs: 86_400_000 },
    { everyMs: 86_400_000, forMs: 30 * 86_400_000 },
  ]);
  for (const wrong of ["", "1h", "24h:1h", "1x:2h", "0h:1d", "1h:24h,"]) {
    expect(ladder().read(wrong)).toBeInstanceOf(Unreadable);
  }
});

test("times and sizes are short", () => {
  const times = [0, 499, 59_000, 61_000, 3_600_000, 90_061_000, Number.NaN].map(spanText);
  expect(times).toEqual(["0s", "0s", "59s", "1m 1s", "1h", "1d 1h", "0s"]);
  expect([0, 1023, 1024, 5 * 2 ** 30].map(bytesText)).toEqual([
    "0 bytes",
    "1023 bytes",
    "1024 bytes (1.0 KiB)",
    "5368709120 bytes (5.0 GiB)",
  ]);
});
