/**
 * What the operations guide says of a bucket works as it is written, with the real program: status,
 * gc, branches, restore.
 */
import { expect, test } from "bun:test";
import { checkpoint, checkpointsOf, type Place, pairsOf, put, stop } from "./place.ts";

const often = "--checkpoint-entries=3";

type Places = readonly (readonly [string, () => Place | Promise<Place>])[];

/** Walks through the guide in each place. */
export function walkGuide(places: Places): void {
  test.each(places)(
    "status, gc and branches on %s are those of the guide",
    (_, open) => walkUpkeep(open),
    60_000,
  );
  test.each(places)(
    "what is restored from %s is a database of its own",
    (_, open) => walkRestore(open),
    60_000,
  );
}

/** Status, gc and branches. */
async function walkUpkeep(open: () => Place | Promise<Place>): Promise<void> {
  using place = await open();
  await using t4 = await place.start("data", "t4/", often);
  for (const key of ["a", "b", "c", "d", "e"]) await checkpoint(place, t4, "t4/", key);
  const source = await pairsOf(t4);
  await stop(t4);
  const keys = await checkpointsOf(place, "t4/");
  const [oldest = "", latest = ""] = [keys[1], keys.at(-1)];
  const revision = Number(latest.split("/")[2]);

  const status = await place.t4("status", "t4/");
  const heading = `${place.name === "a directory" ? "Object store" : "S3"} status  `;
  expect(status).toMatchObject({ code: 0, stderr: "" });
  expect(status.stdout).toStartWith(`${heading}${place.address("t4/")}

Latest checkpoint
  key:       ${latest}
  revision:  ${revision}
  term:      1

Storage objects
  checkpoints: ${keys.length}
  WAL segments: `);
  expect(status.stdout).toMatch(/\n\nBranch forks\n {2}\(none\)\n\nLog\n {2}slots: {5}1 to \d+ /);
  expect(status.stdout).toContain("RPO:        0: every acknowledged write is in the bucket\n");

  // A checkpoint from before the last ones is pinned, and gc leaves it.
  const fork = ["--branch-id=my-branch", `--checkpoint=${oldest}`];
  expect(await place.t4("branch fork", "t4/", ...fork)).toEqual({
    code: 0,
    stdout: `${oldest}\n`,
    stderr: "",
  });
  expect((await place.t4("branch fork", "t4/", ...fork)).code).toBe(1);
  expect((await place.t4("branch fork", "t4/", "--branch-id=no/id")).code).toBe(2);
  const unknown = "--checkpoint=checkpoint/0000000009/00000000000000000001/manifest.json";
  expect((await place.t4("branch fork", "t4/", "--branch-id=new", unknown)).code).toBe(3);
  expect((await place.t4("status", "t4/")).stdout).toContain(
    `\nBranch forks\n  my-branch                       pinned at: ${oldest}\n`,
  );

  const plan = await place.t4("gc --dry-run --keep=3", "t4/");
  expect(plan.stdout).toStartWith("GC dry run, nothing was deleted\n");
  expect(await checkpointsOf(place, "t4/")).toEqual(keys);
  const gc = await place.t4("gc --keep=3", "t4/");
  const deleted = keys.length - 4;
  expect(gc).toMatchObject({ code: 0, stderr: "" });
  expect(gc.stdout).toMatch(
    new RegExp(
      `^GC complete\n {2}checkpoints deleted: ${deleted}\n {2}orphan SSTs deleted: \\d+\n {2}WAL segments deleted: [1-9]\\d*\n$`,
    ),
  );
  expect(await checkpointsOf(place, "t4/")).toEqual([oldest, ...keys.slice(-3)]);

  // The branch begins with it and goes its own way.
  const branch = [`--branch-prefix=${place.full("t4/")}`, `--branch-checkpoint=${oldest}`];
  await using other = await place.start("branch", "t4-branch/", ...branch);
  const { pairs: begun, revision: begunAt } = await pairsOf(other);
  expect(begunAt).toBe(Number(oldest.split("/")[2]));
  await put(other, ["only", "here"]);
  await stop(other);
  await using again = await place.start("elsewhere", "t4-branch/");
  expect((await pairsOf(again)).pairs).toEqual([...begun, "only=here"].sort());
  await stop(again);
  await using first = await place.start("data", "t4/");
  expect((await pairsOf(first)).pairs).toEqual(source.pairs);
  await stop(first);

  const list = await place.t4("branch list", "t4/");
  expect(list.stdout).toMatch(
    new RegExp(`\nmy-branch +${oldest} .*Z +${place.full("t4-branch")}\n$`),
  );
  const unfork = await place.t4("branch unfork --branch-id=my-branch", "t4/");
  expect({ ...unfork, stderr: "" }).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(unfork.stderr).toContain(
    `Branch "my-branch" in prefix "${place.full("t4-branch")}" still needs `,
  );
  expect((await place.t4("branch unfork --branch-id=my-branch", "t4/")).code).toBe(3);
  expect((await place.t4("branch list", "t4/")).stdout).toBe("No branches found.\n");
}

/** Restore, to a checkpoint and to a moment. */
async function walkRestore(open: () => Place | Promise<Place>): Promise<void> {
  using place = await open();
  const none = await place.t4("restore checkpoint", "t4/", `--data-dir=${place.path("x")}`);
  expect([3, 78]).toContain(none.code ?? 0);
  await using t4 = await place.start("data", "t4/", often);
  const old = await checkpoint(place, t4, "t4/", "a");
  const revision = await put(t4, ["b", "early"]);
  await Bun.sleep(20);
  const time = new Date().toISOString();
  await Bun.sleep(20);
  await put(t4, ["b", "late"], ["c", "late"]);
  await checkpoint(place, t4, "t4/", "d");
  await stop(t4);

  const keys = await checkpointsOf(place, "t4/");
  const list = await place.t4("restore list", "t4/");
  const latest = keys.at(-1) ?? "";
  const [heading, ...rows] = list.stdout.trimEnd().split("\n");
  expect(heading).toBe(`${"CHECKPOINT".padEnd(72)}    REVISION    TERM`);
  expect(rows.length).toBe(keys.length);
  expect(rows.at(-1)).toBe(
    `${latest.padEnd(72)}  ${String(Number(latest.split("/")[2])).padStart(10)}       1  (latest)`,
  );

  const checkpointDirectory = place.path("checkpoint");
  const restored = await place.t4("restore checkpoint", "t4/", `--data-dir=${checkpointDirectory}`);
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  expect(restored.stdout).toStartWith(
    `Restored checkpoint\n  key:       ${latest}\n  revision:  ${Number(latest.split("/")[2])}\n  term:      1\n  data-dir:  ${checkpointDirectory}\n\n`,
  );

  for (const [name, at] of [
    ["revision", `${revision}`],
    ["time", time],
  ] as const) {
    const flags = [`--at=${at}`, `--data-dir=${place.path(name)}`];
    const { code, stderr, stdout } = await place.t4("restore", "t4/", ...flags, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ revision });
    await using local = await place.start(name, `new-${name}/`);
    expect(await pairsOf(local)).toEqual({ pairs: ["a=3", "b=early"], revision });
    await stop(local);
  }
  expect(revision).toBe(old + 1);

  // On the prefix it comes from it is refused, both ids and the ways on named.
  const refused = place.start("revision", "t4/");
  await expect(refused).rejects.toThrow(/of cluster [0-9a-f]+, .* of cluster [0-9a-f]+/);
  const flags = ["--at=1000000", `--data-dir=${place.path("never")}`];
  const late = await place.t4("restore", "t4/", ...flags);
  expect({ code: late.code, stderr: late.stderr }).toEqual({
    code: 3,
    stderr: expect.stringContaining("revision 1000000 is to come: the newest in the bucket is "),
  });
  // Over a database it wants --yes, and then replaces it.
  const over = ["--at=2", `--data-dir=${place.path("revision")}`];
  expect((await place.t4("restore", "t4/", ...over)).code).toBe(2);
  expect((await place.t4("restore", "t4/", ...over, "--yes")).code).toBe(0);
  await using replaced = await place.start("revision", "newer/");
  expect(await pairsOf(replaced)).toEqual({ pairs: ["a=0"], revision: 2 });
}
