/** What one search explores: how many nodes, its start, its bounds, and which rule is broken. */
import { type Head, type Node, only, rewrite, type State, stepDown } from "./state.ts";

/** A rule left out on purpose; bugs.ts says what each is and how it must be caught. */
export type Bug =
  | "anyone"
  | "early evict"
  | "late add"
  | "no promise"
  | "early s3"
  | "stale commit"
  | "early self"
  | "no read index"
  | "read before the term's start"
  | "longest wins"
  | "fence deleted"
  | "newest deleted"
  | "checkpoint of a deposed leader"
  | "recover before the fence"
  | "s3=false on takeover"
  | "tail after the grow"
  | "acknowledge before the tail"
  | "shrink not observed"
  | "same incarnation"
  | "acknowledge before the sync"
  | "lock before the history"
  | "replay from the leader's term"
  | "another life's head";

export interface Scope {
  /** Data directories, each with a process of its own. */
  readonly nodes: number;
  /** Whether nodes replicate to each other. Otherwise each is alone, and all are on one prefix. */
  readonly peers: boolean;
  /**
   * - bucket: node 0 leads, alone with the bucket; all other disks are empty.
   * - copied: as bucket, and node 1 runs on a copy of node 0's disk: two lives of one incarnation.
   * - local: node 0 leads by its own disk (`--wal-sync-upload=false`).
   * - set: node 0 leads, every node is a member, the bucket is not.
   * - empty: no head, no data, nobody leads.
   * - adopt: node 0 has acknowledged an entry without a bucket; the prefix is empty.
   */
  readonly start: "bucket" | "copied" | "local" | "set" | "empty" | "adopt";
  /** Bounds of what may happen: proposals, terms, versions of the head, slots of the log ... */
  readonly writes: number;
  readonly terms: number;
  readonly versions: number;
  readonly slots: number;
  readonly crashes: number;
  readonly disksLost: number;
  /** Changes of `--wal-sync-upload`. */
  readonly switches: number;
  /** Puts executed twice. */
  readonly duplicates: number;
  /** Whether the bucket can be a member, and is uploaded to. */
  readonly s3: boolean;
  /** Whether checkpoints are made and log objects deleted. */
  readonly gc: boolean;
  readonly reads: boolean;
  /** Whether an append and its sync are two steps, so that a crash comes between them. */
  readonly lateSync: boolean;
  readonly bug?: Bug;
}

const nothing: Scope = {
  nodes: 1,
  peers: false,
  start: "bucket",
  writes: 0,
  terms: 1,
  versions: 1,
  slots: 0,
  crashes: 0,
  disksLost: 0,
  switches: 0,
  duplicates: 0,
  s3: true,
  gc: false,
  reads: true,
  lateSync: false,
};

/** A scope in which nothing happens but what `bounds` allows. */
export function scopeOf(bounds: Partial<Scope>): Scope {
  return { ...nothing, ...bounds };
}

/** The scope in few words, for what a search prints. */
export function describe(scope: Scope): string {
  const { nodes, peers, start, writes, terms, versions, slots, crashes, disksLost } = scope;
  const extra = [
    scope.switches > 0 ? `switches ${scope.switches}` : "",
    scope.duplicates > 0 ? `puts twice ${scope.duplicates}` : "",
    scope.gc ? "gc" : "",
    scope.lateSync ? "late sync" : "",
    scope.s3 ? "" : "no bucket",
  ].filter((word) => word !== "");
  return (
    `${nodes} ${peers ? "peers" : "alone"}, start ${start}, writes ${writes}, terms ${terms}, ` +
    `versions ${versions}, slots ${slots}, crashes ${crashes}, disks lost ${disksLost}` +
    extra.map((word) => `, ${word}`).join("")
  );
}

/** The state a scope starts in. */
export function startOf(scope: Scope): State {
  const nodes = Array.from({ length: scope.nodes }, (_, each) => freshNode(each));
  const state: State = {
    head: { ver: 0, term: 0, leader: -1, life: 0, iss: 0, s3: true },
    slots: [],
    checkpoint: undefined,
    manifests: [],
    headWrites: [],
    logPuts: [],
    acks: [],
    nodes,
    acked: "",
    incarnations: scope.nodes,
    writes: 0,
    crashes: 0,
    disksLost: 0,
    switches: 0,
    duplicates: 0,
  };
  const [first] = nodes;
  if (first === undefined || scope.start === "empty") return state;
  if (scope.start === "adopt") {
    rewrite(first, "a");
    state.acked = "a";
    state.writes = 1;
    return state;
  }
  const iss = scope.start === "set" ? 2 ** scope.nodes - 1 : only(0);
  const s3 = scope.start === "bucket" || scope.start === "copied";
  lead(state, first, { ...state.head, ver: 1, term: 1, leader: 0, iss, s3 });
  first.wanted = s3;
  if (scope.start === "copied") {
    for (const copy of nodes.slice(1)) {
      const { incarnation, promised, logTerm } = first;
      // Lives are numbers here and random nonces in the lock: two disks never share one.
      Object.assign(copy, { incarnation, promised, logTerm, life: 50 * copy.incarnation });
    }
  }
  return state;
}

/** A node on an empty disk. */
export function freshNode(incarnation: number): Node {
  const node: Node = {
    incarnation,
    life: 0,
    promised: 0,
    log: "",
    synced: 0,
    logTerm: 0,
    wanted: true,
    role: "idle",
    term: 0,
    seen: -1,
    required: 0,
    requiresS3: false,
    recordedS3: false,
    intent: false,
    commit: 0,
    termStart: 0,
    held: [],
    stored: 0,
    fenced: false,
    next: 0,
    put: undefined,
    read: undefined,
  };
  stepDown(node);
  return node;
}

/** `first` has won term 1 with `head`, and its fence where the bucket is a member. */
function lead(state: State, first: Node, head: Head): void {
  state.head = head;
  for (const node of state.nodes) {
    if ((head.iss & only(node.incarnation)) === 0) continue;
    node.promised = 1;
    node.logTerm = 1;
  }
  Object.assign(first, { role: "leader", term: 1, seen: 1, required: head.iss });
  if (!head.s3) return;
  state.slots = [{ kind: "fence", term: 1, end: "", base: 0 }];
  Object.assign(first, { requiresS3: true, recordedS3: true, fenced: true, next: 1 });
}
