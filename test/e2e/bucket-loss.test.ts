/**
 * When things are lost: what only a disk had is given up by a command that says what; a restore that
 * is interrupted can be repeated; what is damaged in a bucket is found by `t4 verify`, and named.
 */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { checkpoint, directoryPlace, pairsOf, put, s3Place, stop, until } from "./place.ts";

const often = "--checkpoint-entries=3";

test("what a lost disk alone had is given up by a command that says what", async () => {
  using place = directoryPlace();
  await using t4 = await place.start("data", "db", "--wal-sync-upload=false", "--node-id=first");
  await put(t4, ["a", "1"], ["b", "2"]);
  const isUploaded = async () => {
    const { stdout } = await place.t4("status --json", "db");
    return (JSON.parse(stdout) as { log: { last_revision: number } }).log.last_revision === 3;
  };
  await until(isUploaded);
  t4.signal("SIGKILL");
  await t4.exited;
  const status = await place.t4("status", "db");
  expect(status.stdout).toContain("after revision 3 (20");
  expect(status.stdout).toContain("): it is on the disk of first alone\n");

  fs.rmSync(place.path("data"), { recursive: true });
  const start = () => place.start("data", "db");
  await expect(start()).rejects.toThrow(/t4 recover --accept-loss --yes/);
  const asked = await place.t4("recover --accept-loss", "db");
  expect(asked.code).toBe(2);
  expect(asked.stderr).toMatch(
    /^t4: what was acknowledged after it is lost: the last revision in the bucket is 3 \(entry \d+, written at 20.*Z\); more is on the disk of first \([0-9a-f]+\), .*; if that is meant, add --yes\n$/,
  );
  await expect(start()).rejects.toThrow();
  const recovered = await place.t4("recover --accept-loss --yes", "db");
  expect(recovered.code).toBe(0);
  expect(recovered.stdout).toStartWith(
    "The bucket is the database now: it ends with revision 3.\n",
  );
  await using again = await start();
  expect((await pairsOf(again)).pairs).toEqual(["a=1", "b=2"]);
  const nothing = await place.t4("recover --accept-loss", "db");
  expect({ code: nothing.code, stdout: nothing.stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^Nothing is lost: .* has every acknowledged write, up to /),
  });
  expect((await place.t4("recover", "db")).code).toBe(2);
  expect((await place.t4("recover --accept-loss", "elsewhere")).code).toBe(3);
}, 60_000);

test("a leader that still runs when its writes are given up is superseded, and exits 6", async () => {
  using place = directoryPlace();
  await using t4 = await place.start("data", "db", "--wal-sync-upload=false");
  await put(t4, ["a", "1"]);
  expect((await place.t4("recover --accept-loss --yes", "db")).code).toBe(0);
  // Acknowledged or not: the operator has said that it does not count.
  await put(t4, ["b", "2"]).catch(() => undefined);
  expect(await t4.exited).toBe(6);
  await using next = await place.start("other", "db");
  expect((await pairsOf(next)).pairs).not.toContain("b=2");
}, 60_000);

test("what an interrupted restore leaves is recognised, and replaced by the next one", async () => {
  using place = directoryPlace();
  await using t4 = await place.start("data", "db", often);
  const revision = await checkpoint(place, t4, "db/", "a");
  await stop(t4);
  const flags = [`--at=${revision}`, `--data-dir=${place.path("half")}`];
  expect((await place.t4("restore", "db", ...flags)).code).toBe(0);
  // As if it had been interrupted after its fourth step.
  fs.writeFileSync(`${place.path("half")}/RESTORING`, "");
  fs.rmSync(`${place.path("half")}/MEMBER`);
  const start = () => place.start("half", "new");
  await expect(start()).rejects.toThrow(/half of a database: a restore into it was interrupted/);
  expect((await place.t4("restore", "db", ...flags)).code).toBe(0);
  await using restored = await start();
  expect(await pairsOf(restored)).toEqual({ pairs: ["a=3"], revision });
}, 60_000);

test("a restore point of a bucket with versions outlives gc", async () => {
  using place = s3Place();
  await using t4 = await place.start("data", "db", often);
  await checkpoint(place, t4, "db/", "a");
  const revision = await put(t4, ["b", "then"]);
  const pinned = await place.t4("restore pin --id=friday", "db");
  expect(pinned).toMatchObject({ code: 0, stdout: expect.stringMatching(/^checkpoint\/.*\n$/) });
  expect((await place.t4("restore pin --id=friday", "db")).code).toBe(1);
  for (const key of ["b", "c", "d"]) await checkpoint(place, t4, "db/", key);
  await stop(t4);
  expect((await place.t4("gc --keep=1", "db")).code).toBe(0);
  const points = await place.t4("restore points", "db");
  expect(points.stdout).toMatch(/\nfriday +20.*Z +\d+ +checkpoint\/.*\n$/);
  const flags = ["--id=friday", `--data-dir=${place.path("friday")}`];
  expect((await place.t4("restore point", "db", ...flags)).code).toBe(0);
  await using restored = await place.start("friday", "new");
  expect(await pairsOf(restored)).toEqual({ pairs: ["a=3", "b=then"], revision });
  expect((await place.t4("restore unpin --id=friday", "db")).code).toBe(0);
  expect((await place.t4("restore unpin --id=friday", "db")).code).toBe(3);
  const unknown = ["--id=monday", `--data-dir=${place.path("x")}`];
  expect((await place.t4("restore point", "db", ...unknown)).code).toBe(3);
}, 60_000);

test("a bucket is read and verified while its member runs, and damage is named", async () => {
  using place = directoryPlace();
  await using t4 = await place.start("data", "db", often);
  await checkpoint(place, t4, "db/", "a");
  const revision = await put(t4, ["b", "x"]);
  const meta = await place.t4("inspect meta --json", "db");
  expect(JSON.parse(meta.stdout)).toMatchObject({
    bucket: place.address("db/"),
    from: expect.stringMatching(/^checkpoint\//),
    current_revision: revision,
    total_keys: 2,
  });
  const get = await place.t4("inspect get b --json", "db");
  expect(JSON.parse(get.stdout)).toMatchObject({ Key: "b", Value: "eA==", Revision: revision });
  const sound = await place.t4("verify --json", "db");
  expect({ code: sound.code, stderr: sound.stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(sound.stdout)).toMatchObject({
    sound: true,
    damages: [],
    verified: { checkpoints: { pending: 0 }, database: { revision, keys: 2 } },
  });
  t4.signal("SIGKILL");
  await t4.exited;
  const log = (await place.keys("db/")).filter((key) => key.startsWith("wal/"));
  const victim = log.at(-2) ?? "";
  await place.change(`db/${victim}`, (bytes) => {
    const at = bytes.length - 40;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  });
  const damaged = await place.t4("verify", "db");
  expect(damaged.code).toBe(7);
  expect(damaged.stdout).toMatch(
    new RegExp(`\n${place.address("db/")}${victim} at offset \\d+: .* \\(entry \\d+\\)\n`),
  );
  expect(damaged.stdout).toEndWith("Damaged in 1 place(s)\n");
  expect((await place.t4("inspect meta", "nothing")).code).toBe(3);
}, 60_000);
