/** What a random run meets seldom, of watches. */
import { bytes, deleteRange, op, put, range, txn } from "../api/requests.ts";
import { type Case, call, hangUp, settle, watch, write } from "./case.ts";

export const watchCases: readonly Case[] = [
  {
    name: "a key put and deleted in one revision",
    *steps(world) {
      const both = [op.txn(txn({ success: [op.put("o/a", "2")] })), op.delete("o/a")];
      const later = [
        op.txn(txn({ success: both.slice(0, 1) })),
        op.txn(txn({ success: both.slice(1) })),
      ];
      yield watch("o/", { prevKv: true });
      yield watch("o/", { filters: [0] });
      yield watch("o/", { filters: [1] });
      for (const first of [[], [op.put("o/a", "1")]]) {
        yield write(...first);
        yield write(...later);
        yield call("Range", range("o/", "o0"));
        yield settle;
      }
      yield write(op.put("o/a", "1"), op.put("o/b", "1"));
      yield write(op.put("o/b", "2"), op.delete("o/a", "\0", true), op.range("o/", "o0"));
      yield write(op.put("o/b", "3"), op.put("o/a", "4"));
      yield write(
        op.delete("o/a", "\0"),
        op.put("o/b", "5", { prevKv: true }),
        op.range("o/", "o0"),
      );
      yield write(op.put("o/b", "6"), op.txn(txn({ success: [op.delete("o/b")] })));
      yield settle;
      yield watch("o/", { startRevision: world.revision - 5, prevKv: true });
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "compaction under a watch",
    *steps(world) {
      yield call("Put", put("c/a", "1"));
      const first = world.revision;
      for (const value of ["2", "3", "4", "5"]) yield call("Put", put("c/a", value));
      yield watch("c/", { startRevision: first, prevKv: true });
      yield watch("c/", { startRevision: world.revision + 3 });
      yield { kind: "fence" };
      yield call("Compact", { revision: world.revision - 1 });
      yield call("Put", put("c/a", "6"));
      yield call("Compact", { revision: world.revision, physical: true });
      yield call("DeleteRange", deleteRange("c/a"));
      yield call("Put", put("c/a", "7"));
      yield settle;
      yield { kind: "progress", stream: 0 };
      yield hangUp;
    },
  },
  {
    name: "watches from around the compacted revision, and their ids",
    *steps(world) {
      for (const value of ["1", "2", "3", "4"]) yield call("Put", put("w/a", value));
      const at = world.revision - 1;
      yield call("Compact", { revision: at, physical: true });
      yield watch("w/", { startRevision: at, prevKv: true });
      yield watch("w/", { startRevision: at + 1, prevKv: true });
      yield watch("w/", { startRevision: at - 1, watchId: 9n });
      yield watch("w/", { watchId: 9n });
      yield settle;
      yield { kind: "progress", stream: 0 };
      yield { kind: "unwatch", stream: 0, id: 9n };
      yield watch("w/", { watchId: 9n });
      yield { kind: "progress", stream: 0 };
      yield call("Put", put("w/a", "5"));
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "ids of watches: chosen, given out, taken, used again",
    *steps() {
      yield watch("i/", { watchId: 1n });
      yield watch("i/");
      yield watch("i/");
      yield watch("i/", { watchId: 1n });
      yield { kind: "unwatch", stream: 0, id: 0n };
      yield { kind: "unwatch", stream: 0, id: 0n };
      yield watch("i/");
      yield { kind: "unwatch", stream: 0, id: 1n };
      yield watch("i/", { watchId: 1n });
      yield watch("i/", { watchId: -1n });
      yield watch("i/", { watchId: -(2n ** 63n) });
      yield { kind: "silence", stream: 0 };
      yield call("Put", put("i/a"));
      yield { kind: "halfClose", stream: 0 };
      yield call("Put", put("i/b"));
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "ranges of watches: one key, open, inverted, empty, without a key",
    *steps() {
      const ends = ["", "\0", "n/b", "n/a", "n/", "n/a\0"];
      for (const end of ends) yield watch("n/a", { rangeEnd: bytes(end) });
      for (const end of ends) yield watch("", { rangeEnd: bytes(end) });
      for (const key of ["n/a", "n/a\0", "n/b", "\0", "\0\0", "n/"]) yield call("Put", put(key));
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "responses in pieces, live and from the past",
    *steps(world) {
      const value = (letter: string) => letter.repeat(500_000);
      const three = (letter: string) =>
        write(...["f/a", "f/b", "f/c"].map((key) => op.put(key, value(letter))));
      yield watch("f/", { prevKv: true, fragment: true });
      yield watch("f/", { prevKv: true });
      const from = world.revision + 1;
      yield three("v");
      yield three("w");
      yield call("Put", put("f/d", "x".repeat(1_500_000)));
      yield call("DeleteRange", deleteRange("f/", "f0"));
      yield settle;
      for (const fragment of [true, false]) {
        yield watch("f/", { startRevision: from, prevKv: true, fragment });
        yield settle;
      }
      yield hangUp;
    },
  },
  {
    name: "progress that cannot be told",
    *steps() {
      yield { kind: "progressInVain" };
      yield { kind: "progressInVain", watch: { key: bytes("p/"), startRevision: 2 ** 40 } };
    },
  },
  {
    name: "a watch from a negative revision",
    *steps() {
      for (const startRevision of [-1, -2, -(2 ** 53)]) {
        yield watch("v/", { startRevision });
        yield hangUp;
      }
    },
  },
  {
    name: "a watch from a compacted deletion",
    *steps(world) {
      yield call("Put", put("g/a", "1"));
      yield call("DeleteRange", deleteRange("g/a"));
      yield call("Compact", { revision: world.revision, physical: true });
      yield { kind: "replay", request: { key: bytes("g/a"), startRevision: world.revision } };
    },
  },
];
