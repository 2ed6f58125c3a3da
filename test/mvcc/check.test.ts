import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Command, PutCommand } from "../../src/model/command.ts";
import type { Entry } from "../../src/model/entry.ts";
import { indexOf, termOf } from "../../src/model/revision.ts";
import { checkEntry, checkStore } from "../../src/mvcc/check.ts";
import { attachedKey, dataKey, describeRow, historyKey, leaseKey } from "../../src/mvcc/keys.ts";
import { tombstone } from "../../src/mvcc/version.ts";
import { Rig } from "./rig.ts";

function put(key: string, value: string): PutCommand {
  return {
    kind: "put",
    key,
    value: Buffer.from(value),
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
  };
}

/** Decides and applies commands; the entries of that. */
function applied({ store }: Rig, commands: readonly Command[], first = 1): Entry[] {
  return commands.map((command, at) => {
    const { action, revision } = store.decide(command);
    const entry = { index: indexOf(first + at), term: termOf(1), revision, action } as Entry;
    store.apply(entry);
    return entry;
  });
}

/** Puts "a" twice and deletes it; the entries of that. */
async function changed(): Promise<{ rig: Rig; entries: Entry[] }> {
  const rig = new Rig(new SeededRandom(1));
  await rig.open();
  const range = { key: "a", end: "" };
  const entries = applied(rig, [
    put("a", "one"),
    put("a", "two"),
    { kind: "deleteRange", range, previous: false },
  ]);
  return { rig, entries };
}

test("rows that an entry made are held against it, down to the floor", async () => {
  const { entries, rig } = await changed();
  const { store, tree } = rig;
  expect(entries.map((entry) => checkEntry(entry, tree, -1))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(checkStore(store, tree)).toEqual([]);
  tree.delete(dataKey("a", 2, 0));
  tree.put(dataKey("a", 3, 0), tombstone);
  tree.put(dataKey("a", 4, 0), Buffer.from("\0\x02\x01three"));
  const told = [
    'entry 1 changed "a" at revision 2, the tables have no such version',
    'entry 2 changed "a" at revision 3, the tables have another version',
    'entry 3 changed "a" at revision 4, the tables have another version',
  ];
  expect(entries.map((entry) => checkEntry(entry, tree, -1))).toEqual(told);
  expect(entries.map((entry) => checkEntry(entry, tree, 3))).toEqual([
    undefined,
    undefined,
    told[2],
  ]);
  expect(checkStore(store, tree)).not.toEqual([]);
  await tree.close();
});

test.each([
  { floor: 6, told: [] },
  { floor: 5, told: ['"a" at revision 4 was put over a tombstone'] },
])(
  "what was between a tombstone and a version may be gone, where the floor is $floor",
  async (at) => {
    const { rig } = await changed();
    const { store, tree } = rig;
    applied(rig, [put("a", "1"), put("a", "2"), { kind: "compact", revision: at.floor }], 4);
    // A merge of the newer runs drops the first; the tombstone is in an older run.
    for (const revision of [2, 3, 5]) tree.delete(dataKey("a", revision, 0));
    expect(checkStore(store, tree).filter((what) => what.includes("tombstone"))).toEqual([
      ...at.told,
    ]);
    await tree.close();
  },
);

test("the versions of a key are told newest first, and of no other key", async () => {
  const { rig } = await changed();
  const events = [...rig.store.versions("a")];
  const told = events.map((event) => [event.type, event.type === "put" ? `${event.kv.value}` : ""]);
  expect(told).toEqual([
    ["delete", ""],
    ["put", "two"],
    ["put", "one"],
  ]);
  expect([...rig.store.versions("")]).toEqual([]);
  await rig.tree.close();
});

test("a row is told in words", () => {
  expect(
    [
      dataKey("/a/\0\xc3\xbc", 7, 1),
      dataKey("key", 7, 0).slice(0, 3),
      historyKey(12, 3),
      leaseKey(5n),
      attachedKey(5n, "key"),
      "\x02",
      "",
    ].map(describeRow),
  ).toEqual([
    'key "/a/\\u0000ü"',
    'key "ke"',
    "the history at 12",
    "the leases",
    "the keys of leases",
    "the history",
    "an unknown row",
  ]);
});
