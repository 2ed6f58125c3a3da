/**
 * Rules left out, one at a time. Each must be caught in the small scope recorded here; so the model
 * is known to see what the rule is for. R2, R9, R10, R13 and R15 are built into the steps.
 */
import type { Bug, Scope } from "./scope.ts";

export interface Seeded {
  readonly bug: Bug;
  /** What is wrong, in a sentence that completes "a T4 in which ...". */
  readonly what: string;
  /** What the search must find; the beginning of the violation. */
  readonly breaks: "lost" | "two histories" | "stale read" | "by disk alone" | "chain" | "nobody";
  readonly bounds: Partial<Scope>;
  /** The most states (or, where `steps` is given, walks of so many steps) it may take. */
  readonly most: number;
  readonly steps?: number;
}

const set: Partial<Scope> = { start: "set", peers: true, nodes: 2 };
const unaided: Partial<Scope> = { ...set, s3: false };
const rivals: Partial<Scope> = { start: "bucket", nodes: 2, terms: 2, versions: 3, slots: 5 };
const alone: Partial<Scope> = { start: "local", terms: 2, versions: 3, slots: 4 };

export const seeded: readonly Seeded[] = [
  {
    bug: "anyone",
    what: "a node outside the recorded set takes over with its own log (R5)",
    breaks: "lost",
    bounds: { ...unaided, writes: 1, terms: 2, versions: 3 },
    most: 500,
  },
  {
    bug: "early evict",
    what: "an evicted member is not waited for although no head without it was observed (R3)",
    breaks: "lost",
    bounds: { ...unaided, writes: 1, terms: 2, versions: 3 },
    most: 500,
  },
  {
    bug: "late add",
    what: "a member is recorded before it is required (R3)",
    breaks: "lost",
    bounds: { ...unaided, writes: 1, terms: 3, versions: 5 },
    most: 5000,
  },
  {
    bug: "no promise",
    what: "a candidate promises nothing on its disk (R4)",
    breaks: "stale read",
    bounds: { ...unaided, writes: 2, terms: 2, versions: 3, crashes: 1 },
    most: 5000,
  },
  {
    bug: "early s3",
    what: "a head write records the bucket because it is wanted (R3)",
    breaks: "lost",
    bounds: { ...set, writes: 1, terms: 2, versions: 4, slots: 3 },
    most: 2000,
  },
  {
    bug: "stale commit",
    what: "a member needs to hold what is committed, not what the term started with (R3)",
    breaks: "lost",
    bounds: { ...set, writes: 1, terms: 3, versions: 5, slots: 3, crashes: 1, reads: false },
    most: 40_000,
  },
  {
    bug: "early self",
    what: "a bucket takeover records itself before it has fenced and replayed (R5)",
    breaks: "lost",
    bounds: { ...rivals, writes: 2 },
    most: 500,
  },
  {
    bug: "no read index",
    what: "a leader answers linearizable reads because it was the leader (R12)",
    breaks: "stale read",
    bounds: { ...unaided, writes: 2, terms: 2, versions: 3 },
    most: 1000,
  },
  {
    bug: "read before the term's start",
    what: "a new leader answers reads before what it inherited is committed (R11)",
    breaks: "stale read",
    bounds: { ...unaided, writes: 1, terms: 2, versions: 3 },
    most: 1000,
  },
  {
    bug: "longest wins",
    what: "replay follows the longest log in the bucket, not the newest term's (R7)",
    breaks: "lost",
    bounds: { ...set, writes: 3, terms: 3, versions: 6, slots: 6, reads: false },
    most: 4000,
    steps: 100,
  },
  {
    bug: "fence deleted",
    what: "fences are deleted with the data below a checkpoint (R8)",
    breaks: "two histories",
    bounds: { ...rivals, writes: 2, gc: true, reads: false },
    most: 10_000,
  },
  {
    bug: "newest deleted",
    what: "the newest log object is deleted, so that a listing shows another end of the log (R8)",
    breaks: "by disk alone",
    bounds: { ...rivals, writes: 3, gc: true, reads: false },
    most: 5000,
  },
  {
    bug: "checkpoint of a deposed leader",
    what: "a checkpoint is published without reading the lock after it was captured (R8)",
    breaks: "lost",
    bounds: { ...rivals, writes: 2, gc: true, reads: false },
    most: 5000,
  },
  {
    bug: "replay from the leader's term",
    what: "replay after a checkpoint takes the checkpointing leader's term for the log's (R7)",
    breaks: "chain",
    bounds: { ...rivals, writes: 2, gc: true, reads: false },
    most: 5000,
  },
  {
    bug: "recover before the fence",
    what: "a bucket takeover replays first and fences then (R5)",
    breaks: "lost",
    bounds: { ...rivals, writes: 1 },
    most: 500,
  },
  {
    bug: "s3=false on takeover",
    what: "a takeover records that the bucket is no member (R5)",
    breaks: "nobody",
    bounds: { ...rivals, nodes: 1, writes: 1, crashes: 1 },
    most: 100,
  },
  {
    bug: "another life's head",
    what: "a head with its own incarnation counts as won, whatever its nonce (R1, R5)",
    breaks: "chain",
    bounds: { ...rivals, start: "copied", writes: 2, crashes: 1 },
    most: 10_000,
  },
  {
    bug: "tail after the grow",
    what: "the bucket is recorded before it holds the tail (R3, --wal-sync-upload to true)",
    breaks: "lost",
    bounds: { ...alone, writes: 1, disksLost: 1, switches: 1 },
    most: 500,
  },
  {
    bug: "acknowledge before the tail",
    what: "a write is acknowledged before a joining bucket has it (R3, --wal-sync-upload to true)",
    breaks: "by disk alone",
    bounds: { ...alone, writes: 1, disksLost: 1, switches: 1 },
    most: 100,
  },
  {
    bug: "shrink not observed",
    what: "the bucket is not required any more before the head without it is observed (R3)",
    breaks: "lost",
    bounds: { ...rivals, writes: 1, switches: 1 },
    most: 500,
  },
  {
    bug: "same incarnation",
    what: "a node whose disk was lost keeps its incarnation (R14)",
    breaks: "lost",
    bounds: { ...alone, writes: 1, disksLost: 1 },
    most: 500,
  },
  {
    bug: "acknowledge before the sync",
    what: "a write is acknowledged before the leader's own disk holds it (R6)",
    breaks: "lost",
    bounds: { ...alone, writes: 1, crashes: 1, lateSync: true },
    most: 500,
  },
  {
    bug: "lock before the history",
    what: "a directory with data takes an empty prefix before its history is uploaded",
    breaks: "lost",
    bounds: { ...alone, start: "adopt", writes: 1, disksLost: 1 },
    most: 100,
  },
];

/**
 * Two acknowledged histories, once fences may be deleted: node 0's put is on its way while node 1
 * takes over, writes, and deletes the fence that stands in the put's way. With R8 the step
 * `delete 2` does not exist.
 */
export const deletedFence: readonly string[] = [
  "propose@0",
  "put data 1@0",
  "put lands 1 of term 1",
  "answer 1@0",
  "commit@0",
  "propose@0",
  "put data 2@0",
  "candidate@1",
  "head written 2 by 1",
  "read head@1",
  "put fence 2@1",
  "put lands 2 of term 2",
  "answer 2@1",
  "head written 3 by 1",
  "read head@1",
  "commit@1",
  "propose@1",
  "put data 3@1",
  "put lands 3 of term 2",
  "answer 3@1",
  "commit@1",
  "checkpoint 3@1",
  'publish 3 of "ac"',
  "delete 2",
  "put lands 2 of term 1",
  "answer 2@0",
  "commit@0",
];
