/**
 * What etcdctl makes of plain keys, leases and watches: locks, elections, mirrors; and what it shows
 * of a member.
 */
import { expect, test } from "bun:test";
import { Etcdctl, type Session } from "../support/etcdctl.ts";
import { startT4, temporaryDirectory } from "../support/t4.ts";
import { Pair, toolsOf, versions } from "./pair.ts";

const timeoutMs = 60_000;

interface Rig extends AsyncDisposable {
  readonly etcdctl: Etcdctl;
  readonly endpoint: string;
}

async function startRig(version: string): Promise<Rig> {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(temporaryDirectory());
  const t4 = resources.use(await startT4(directory.path, ["--node-id", "here"]));
  const started = resources.move();
  return {
    etcdctl: new Etcdctl(toolsOf(version), t4.endpoint),
    endpoint: t4.endpoint,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** The keys under a prefix, once there are `count`. */
async function keysUnder(etcdctl: Etcdctl, prefix: string, count: number): Promise<string[]> {
  for (;;) {
    const { stdout } = await etcdctl.run(["get", prefix, "--prefix", "--keys-only"]);
    const keys = stdout.split("\n").filter((line) => line !== "");
    if (keys.length === count) return keys;
  }
}

/** Its first lines, once it has printed that many. */
async function firstLines(session: Session, count: number): Promise<string[]> {
  await session.until((output) => output.split("\n").length > count);
  return session.output.split("\n").slice(0, count);
}

test.each(versions)(
  "etcdctl %s: one holds a lock, the next waits for it",
  async (version) => {
    await using rig = await startRig(version);
    const { etcdctl } = rig;
    await using first = etcdctl.open(["lock", "door"]);
    const [held = ""] = await firstLines(first, 1);
    expect(held).toMatch(/^door\/[0-9a-f]+$/);
    await using second = etcdctl.open(["lock", "door"]);
    const queue = await keysUnder(etcdctl, "door/", 2);
    expect(queue).toContain(held);
    expect(second.output).toBe("");
    first.interrupt();
    expect(await firstLines(second, 1)).toEqual(queue.filter((key) => key !== held));
    second.interrupt();
    await second.finished;
    await keysUnder(etcdctl, "door/", 0);
    const command = await etcdctl.run(["lock", "door", "--", "sh", "-c", "echo $ETCD_LOCK_KEY"]);
    expect(command).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^door\/[0-9a-f]+\n$/),
    });
  },
  timeoutMs,
);

test.each(versions)(
  "etcdctl %s: one is elected, the next follows when it goes, and listeners are told",
  async (version) => {
    await using rig = await startRig(version);
    const { etcdctl } = rig;
    await using first = etcdctl.open(["elect", "chair", "ann"]);
    const [annKey = "", ann] = await firstLines(first, 2);
    expect(ann).toBe("ann");
    await using listener = etcdctl.open(["elect", "--listen", "chair"]);
    expect(await firstLines(listener, 2)).toEqual([annKey, "ann"]);
    await using second = etcdctl.open(["elect", "chair", "bob"]);
    const candidates = await keysUnder(etcdctl, "chair/", 2);
    expect(second.output).toBe("");
    first.interrupt();
    const [bobKey = "", bob] = await firstLines(second, 2);
    expect([candidates.includes(bobKey), bob]).toEqual([true, "bob"]);
    const told = await firstLines(listener, 4);
    expect(told).toEqual([annKey, "ann", bobKey, "bob"]);
  },
  timeoutMs,
);

test.each(versions)(
  "etcdctl %s mirrors to and from real etcd",
  async (version) => {
    await using pair = await Pair.start(version);
    for (const [from, to] of [
      [pair.etcd, pair.t4],
      [pair.t4, pair.etcd],
    ] as const) {
      const prefix = `from ${from === pair.t4 ? "t4" : "etcd"}/`;
      const copied = async () => {
        const all = ["get", prefix, "--prefix"];
        const { stdout: wanted } = await from.etcdctl.run(all);
        while ((await to.etcdctl.run(all)).stdout !== wanted);
        return wanted;
      };
      for (let at = 0; at < 20; at++) await from.etcdctl.run(["put", `${prefix}${at}`, `v${at}`]);
      await using mirror = from.etcdctl.open(["make-mirror", `--prefix=${prefix}`, to.endpoint]);
      expect(await copied()).toContain("v19");
      const txn = `\nput "${prefix}x" new\nput "${prefix}y" new\ndel "${prefix}7"\n\n\n`;
      expect((await from.etcdctl.run(["txn"], txn)).code).toBe(0);
      await from.etcdctl.run(["del", `${prefix}1`, `${prefix}2`]);
      const now = await copied();
      expect([now.includes("new"), now.includes("v1\n"), now.includes("v7")]).toEqual([
        true,
        false,
        false,
      ]);
      mirror.interrupt();
    }
  },
  timeoutMs,
);

test.each(versions)(
  "etcdctl %s shows a member and its state",
  async (version) => {
    await using rig = await startRig(version);
    const { endpoint, etcdctl } = rig;
    const json = async (words: readonly string[]) =>
      JSON.parse((await etcdctl.run([...words, "-w", "json"])).stdout);
    const table = async (words: readonly string[]) => {
      const { stdout } = await etcdctl.run([...words, "-w", "table"]);
      const cells = stdout.split("\n").map((line) => line.split(/[|│]/).map((cell) => cell.trim()));
      return cells.filter((row) => row.length > 1).map((row) => row.slice(1, -1));
    };
    await etcdctl.run(["put", "key", "value"]);
    const { header, members } = await json(["member", "list"]);
    expect({ header, members }).toEqual({
      header: { cluster_id: expect.any(Number), member_id: members[0].ID, raft_term: 1 },
      members: [{ ID: expect.any(Number), name: "here", clientURLs: [`http://${endpoint}`] }],
    });
    const [, listed] = await table(["member", "list"]);
    const [shownId = "", ...shown] = listed ?? [];
    expect(shownId).toMatch(/^[1-9a-f][0-9a-f]*$/);
    expect(shown).toEqual(["started", "here", "", `http://${endpoint}`, "false"]);
    const [{ Endpoint, Status }] = await json(["endpoint", "status"]);
    expect({ Endpoint, Status }).toEqual({
      Endpoint: endpoint,
      Status: {
        header: { ...header, revision: 2 },
        version: "3.6.14",
        dbSize: expect.any(Number),
        dbSizeInUse: expect.any(Number),
        leader: members[0].ID,
        raftIndex: 2,
        raftTerm: 1,
        raftAppliedIndex: 2,
      },
    });
    expect(Status.dbSize).toBeGreaterThan(0);
    const [, state] = await table(["endpoint", "status"]);
    const [address, memberId, ...rest] = state ?? [];
    expect([address, memberId]).toEqual([endpoint, shownId]);
    expect([rest[0], ...rest.slice(2)]).toEqual(["3.6.14", "true", "false", "1", "2", "2", ""]);
  },
  timeoutMs,
);

// It takes a minute by itself, for each version.
if (process.env.T4_TEST_WHOLE === "1") {
  test.each(versions)(
    "etcdctl %s is content with the speed",
    async (version) => {
      await using rig = await startRig(version);
      const { code, stdout } = await rig.etcdctl.run(["check", "perf", "--load=s"]);
      expect([code, stdout]).toEqual([0, expect.stringContaining("PASS: Throughput")]);
    },
    120_000,
  );
}
