/**
 * The model of who may lead and what an acknowledgement means: its state, and its rules.
 *
 * A state is everything that exists at one instant: what the bucket holds, what is on its way to
 * it, every node's disk and memory, and what clients have been told. A step (steps.ts) is one thing
 * that can happen next. The search (search.ts) takes every step from every state it reaches; a walk
 * (walk.ts) takes random ones. After each step the promises (invariants.ts) must hold.
 *
 *    bucket                    on the way            nodes (a process and its disk)
 *   +--------------------+     headWrites  <------+   disk:   incarnation, promised, log, logTerm
 *   | head (leader-lock) | <-- (CAS by ver)       +-- memory: role, term, required, commit,
 *   | slots  (wal/<seq>) | <-- logPuts     <------+           stored, next, put, read ...
 *   | checkpoint         | <-- (If-None-Match)        acks:   what peers say they hold
 *   +--------------------+     manifests              acked:  what clients were told
 *
 * There is no clock. A pause is a node that takes no step, a partition a message that is never
 * delivered, a lost request one that is never executed, a lost answer one that is never read. A
 * request is executed at any later time, also after its sender died, and a put also twice. A crash
 * takes what was appended and not synced; the put of an entry may be sent before its sync.
 *
 * The rules, and where they are:
 *
 *   R1   takeover.ts  a head write's result is read from the head: own nonce, else lost
 *   R2   members.ts   one head write at a time; until it is resolved old and new are required
 *   R3   members.ts   shrink: observed first. Grow: required first, and holding max(commit, term
 *                     start). A head write records the recorded bucket flag, not the wanted one
 *   R4   takeover.ts  a candidate's promise is on its disk before its head write
 *   R5   takeover.ts  bucket recorded: every takeover is CAS iss=[] -> fence -> replay -> CAS
 *                     iss=[self]. Not recorded: a recorded member leads with its own log
 *   R6   commit.ts    acknowledged is what every required member holds under the leader's term
 *   R7   upload.ts    a term's first log object is a fence at the first free slot
 *        bucket.ts    replay follows the newest term over its base; lower terms after it are void
 *   R8   keep.ts      data objects go below a checkpoint; fences and the newest object never.
 *                     Who has captured a checkpoint reads its own term in the lock before it
 *                     publishes it: else a fence on its way may land where the checkpoint's data
 *                     was deleted, behind a leader whom it does not stop
 *   R9   upload.ts    one log put at a time; ours is what reads back as ours
 *   R10  upload.ts    only committed entries are uploaded while the bucket is not required
 *   R11  read.ts      no linearizable read before the term's start is committed
 *   R12  read.ts      a read is proved after it arrived: by every required member, and by the head
 *                     or an own log put where the bucket is required
 *   R13  commit.ts    a follower drops an uncommitted tail only when it joins a higher term
 *   R14  failure.ts   a lost disk is a new incarnation
 *   R15  (no step)    an unknown outcome is not a failure: what was proposed may appear later
 *
 * Left out: read leases (they need clocks), replay as many requests, cluster ids.
 */

/**
 * The log as text, one letter an entry: "ab" is entry a, then entry b. Every proposal has a letter
 * of its own, so that equal text is equal index, term and chain hash.
 */
export type Log = string;

/** A set of incarnations: bit i is incarnation i. The bucket has a flag beside it. */
export type Members = number;

/** The content of `leader-lock`. Its nonce is `leader` and `life`: one life writes once a ver. */
export interface Head {
  readonly ver: number;
  readonly term: number;
  /** Incarnation; -1 where there is no head. */
  readonly leader: number;
  readonly life: number;
  readonly iss: Members;
  readonly s3: boolean;
}

/** A conditional write of the head, sent and not yet executed: `head.ver` is what it makes. */
export type HeadWrite = Head;

/** One `wal/<seq>`. A term has one writer, so term and content tell whose it is. */
export interface LogObject {
  readonly kind: "fence" | "data";
  readonly term: number;
  /** The log up to its last entry (chain hash included, so to say); a fence's is its base. */
  readonly end: Log;
  /** Entries before its first one: its base is `end` up to here. */
  readonly base: number;
}

/** A put with If-None-Match, sent and not yet executed for the last time. */
export interface LogPut {
  readonly slot: number;
  readonly object: LogObject;
}

/** The newest manifest: the log up to an index, and where replay goes on. */
export interface Checkpoint {
  readonly log: Log;
  /** Slots up to here hold nothing after `log`. */
  readonly lastSlot: number;
  /** Term of the last object up to `lastSlot` that is not void. The leader's own may be higher. */
  readonly term: number;
}

/** "I hold so many entries under your term", on its way from one incarnation to another. */
export interface Ack {
  readonly from: number;
  readonly to: number;
  readonly term: number;
  readonly entries: number;
}

/** A linearizable read in progress. */
export interface Read {
  /** Entries acknowledged, by anyone, when it arrived: it must see them. */
  readonly entries: number;
  /** Members that confirmed the leader since. */
  readonly confirmed: Members;
  /** The head, or an own put sent since, has shown that no other leads. */
  readonly bucket: boolean;
  /** The put that is outstanding was sent after the read arrived. */
  readonly putSince: boolean;
}

/** idle: follows, or is down. fencing: has the head with iss=[] and is not active yet (R5). */
export type Role = "idle" | "candidate" | "fencing" | "leader";

export interface Node {
  // What the disk holds.
  incarnation: number;
  /** Processes there have been on this disk: with the incarnation, the nonce of its head writes. */
  life: number;
  promised: number;
  log: Log;
  /** Entries that a crash leaves. */
  synced: number;
  /** The term under which `log` was last adopted. */
  logTerm: number;

  /** What its operator wants: `--wal-sync-upload`. Only looked at where nodes are no peers. */
  wanted: boolean;

  // What memory holds.
  role: Role;
  /** The term it leads, or would. */
  term: number;
  /** `ver` of the last head it saw. */
  seen: number;
  /** Whom an acknowledgement waits for. */
  required: Members;
  requiresS3: boolean;
  /** The bucket flag of the last head it saw. */
  recordedS3: boolean;
  /** A head write of its own is not resolved. */
  intent: boolean;
  commit: number;
  termStart: number;
  /** Entries each incarnation has confirmed to hold under this term. */
  held: readonly number[];
  /** Entries the bucket holds under this term. */
  stored: number;
  fenced: boolean;
  /** The slot after the last confirmed own object. */
  next: number;
  put: LogPut | undefined;
  read: Read | undefined;
}

/** Everything. What is `readonly` is shared between states and replaced, never changed. */
export interface State {
  head: Head;
  slots: readonly (LogObject | undefined)[];
  checkpoint: Checkpoint | undefined;
  /** Checkpoints that may be published at any time. */
  manifests: readonly Checkpoint[];
  headWrites: readonly HeadWrite[];
  logPuts: readonly LogPut[];
  acks: readonly Ack[];
  nodes: Node[];
  /** Every acknowledged entry, in the order of the log. */
  acked: Log;
  /** The next incarnation. */
  incarnations: number;
  // What has been spent of the scope's bounds.
  writes: number;
  crashes: number;
  disksLost: number;
  switches: number;
  duplicates: number;
}

/** A copy that may be changed. */
export function copyOf(state: State): State {
  return { ...state, nodes: state.nodes.map((node) => ({ ...node })) };
}

/** The node's memory after its process ended, or after it learnt that it does not lead. */
export function stepDown(node: Node): void {
  node.role = "idle";
  node.term = 0;
  node.seen = -1;
  forget(node);
}

/** Nothing is known of a term that begins. */
export function forget(node: Node): void {
  node.required = 0;
  node.requiresS3 = false;
  node.recordedS3 = false;
  node.intent = false;
  node.commit = 0;
  node.termStart = 0;
  node.held = [];
  node.stored = 0;
  node.fenced = false;
  node.next = 0;
  node.put = undefined;
  node.read = undefined;
}

/** Replaces the log on the disk, and syncs. */
export function rewrite(node: Node, log: Log): void {
  node.log = log;
  node.synced = log.length;
}

/** Whether `node` leads or is about to, in a term it won. */
export function acts(node: Node): boolean {
  return node.role === "leader" || node.role === "fencing";
}

export function only(incarnation: number): Members {
  return 1 << incarnation;
}

export function has(members: Members, incarnation: number): boolean {
  return (members & (1 << incarnation)) !== 0;
}

export function incarnationsIn(members: Members): number[] {
  const found: number[] = [];
  for (let each = 0; members >> each !== 0; each++) if (has(members, each)) found.push(each);
  return found;
}
