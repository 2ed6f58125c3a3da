/** The scopes that are explored, and how: every state of it, or random walks. */
import type { Scope } from "./scope.ts";

export interface Explored {
  readonly name: string;
  readonly bounds: Partial<Scope>;
}

export interface Walks extends Explored {
  /** How many: usually, and in the whole test. */
  readonly walks: readonly [number, number];
  /** The most steps of each. */
  readonly steps: number;
}

const gc = true;
const set: Partial<Scope> = { start: "set", peers: true, nodes: 2 };

/** Scopes of which every state is visited. */
export const exhaustive: readonly Explored[] = [
  {
    name: "one node that crashes, loses its disk and deletes below checkpoints",
    bounds: {
      writes: 2,
      terms: 3,
      versions: 5,
      slots: 4,
      crashes: 1,
      disksLost: 1,
      duplicates: 1,
      gc,
    },
  },
  {
    name: "one node whose --wal-sync-upload goes to false and back",
    bounds: { writes: 2, terms: 3, versions: 7, slots: 4, crashes: 1, disksLost: 1, switches: 2 },
  },
  {
    name: "one node that starts with --wal-sync-upload=false and a second that waits",
    bounds: {
      start: "local",
      nodes: 2,
      writes: 2,
      terms: 2,
      versions: 4,
      slots: 4,
      disksLost: 1,
      switches: 1,
    },
  },
  {
    name: "one node with data that meets an empty prefix",
    bounds: {
      start: "adopt",
      writes: 2,
      terms: 3,
      versions: 8,
      slots: 5,
      crashes: 2,
      disksLost: 1,
      gc,
    },
  },
  {
    name: "one node that crashes between an append and its sync",
    bounds: { writes: 2, terms: 3, versions: 5, slots: 4, crashes: 1, gc, lateSync: true },
  },
  {
    name: "one node that crashes so while --wal-sync-upload goes to true",
    bounds: {
      start: "local",
      writes: 2,
      terms: 2,
      versions: 5,
      slots: 5,
      crashes: 1,
      disksLost: 1,
      switches: 1,
      lateSync: true,
    },
  },
  {
    name: "two processes, the second on an empty disk, the first losing its own",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, disksLost: 1, gc },
  },
  {
    name: "two processes, the first coming back with its old disk",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, crashes: 1, gc },
  },
  {
    name: "two processes that take the prefix from each other",
    bounds: { nodes: 2, writes: 1, terms: 3, versions: 5, slots: 4, crashes: 1, disksLost: 1 },
  },
  {
    name: "two processes while one of them gives the bucket up",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 5, slots: 5, disksLost: 1, switches: 1 },
  },
  {
    name: "two processes created together on an empty prefix",
    bounds: { start: "empty", nodes: 2, writes: 1, terms: 3, versions: 5, slots: 4, crashes: 1 },
  },
  {
    name: "two processes on copies of one disk",
    bounds: { start: "copied", nodes: 2, writes: 1, terms: 3, versions: 5, slots: 5, crashes: 1 },
  },
  {
    name: "two nodes in a set without a bucket",
    bounds: { ...set, s3: false, writes: 2, terms: 3, versions: 5, crashes: 1 },
  },
  {
    name: "two nodes in a set without a bucket, one of which loses its disk",
    bounds: { ...set, s3: false, writes: 1, terms: 3, versions: 5, crashes: 1, disksLost: 1 },
  },
  {
    name: "two nodes in a set that the bucket may join",
    bounds: { ...set, writes: 1, terms: 2, versions: 3, slots: 2, gc },
  },
];

/** More of the same. The first two are the scopes that the protocol was first checked in. */
export const large: readonly Explored[] = [
  {
    name: "two nodes without a bucket, four terms",
    bounds: { ...set, s3: false, writes: 2, terms: 4, versions: 6, crashes: 2 },
  },
  {
    name: "two nodes with the bucket, gc and a crash",
    bounds: { ...set, writes: 1, terms: 2, versions: 3, slots: 2, crashes: 1, gc },
  },
  {
    name: "one node, everything",
    bounds: {
      writes: 2,
      terms: 3,
      versions: 6,
      slots: 5,
      crashes: 2,
      disksLost: 1,
      duplicates: 1,
      gc,
    },
  },
  {
    name: "one node that switches twice",
    bounds: { writes: 2, terms: 3, versions: 9, slots: 5, crashes: 2, disksLost: 1, switches: 2 },
  },
  {
    name: "one node that switches and syncs late",
    bounds: {
      start: "local",
      writes: 2,
      terms: 3,
      versions: 5,
      slots: 5,
      crashes: 2,
      switches: 2,
      lateSync: true,
    },
  },
  {
    name: "two processes, three terms, gc and a put executed twice",
    bounds: { nodes: 2, writes: 2, terms: 3, versions: 5, slots: 6, duplicates: 1, gc },
  },
  {
    name: "two processes, crash, lost disk and gc",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, crashes: 1, disksLost: 1, gc },
  },
  {
    name: "two processes on an empty prefix, two writes",
    bounds: { start: "empty", nodes: 2, writes: 2, terms: 3, versions: 5, slots: 5, crashes: 1 },
  },
];

/** Scopes walked through at random. */
export const walked: readonly Walks[] = [
  {
    name: "one node, everything",
    bounds: {
      writes: 4,
      terms: 6,
      versions: 14,
      slots: 12,
      crashes: 4,
      disksLost: 3,
      switches: 3,
      duplicates: 2,
      gc,
      lateSync: true,
    },
    walks: [1000, 40_000],
    steps: 200,
  },
  {
    name: "one node that keeps its disk and starts with --wal-sync-upload=false",
    bounds: {
      start: "local",
      writes: 4,
      terms: 6,
      versions: 14,
      slots: 12,
      crashes: 4,
      switches: 4,
      duplicates: 2,
      gc,
      lateSync: true,
    },
    walks: [500, 20_000],
    steps: 200,
  },
  {
    name: "two processes, everything",
    bounds: {
      nodes: 2,
      writes: 3,
      terms: 4,
      versions: 9,
      slots: 8,
      crashes: 3,
      disksLost: 2,
      switches: 2,
      duplicates: 2,
      gc,
    },
    walks: [800, 60_000],
    steps: 150,
  },
  {
    name: "three processes, two of them on copies of the first one's disk",
    bounds: {
      start: "copied",
      nodes: 3,
      writes: 3,
      terms: 5,
      versions: 10,
      slots: 8,
      crashes: 3,
      duplicates: 2,
      gc,
    },
    walks: [500, 20_000],
    steps: 180,
  },
  {
    name: "two nodes with the bucket",
    bounds: { ...set, writes: 3, terms: 4, versions: 9, slots: 7, crashes: 3, disksLost: 1, gc },
    walks: [1000, 60_000],
    steps: 150,
  },
  {
    name: "three nodes with the bucket",
    bounds: {
      ...set,
      nodes: 3,
      writes: 3,
      terms: 4,
      versions: 10,
      slots: 7,
      crashes: 3,
      disksLost: 1,
      gc,
    },
    walks: [500, 25_000],
    steps: 180,
  },
];
