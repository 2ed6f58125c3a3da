/**
 * `leader-lock`: the one object that says who leads. Sealed JSON (sealed.ts), one line:
 *
 *   {"format_version":1,"cluster":hex,"ver":n,"nonce":32 hex,"term":n,
 *    "leader":{"incarnation":hex,"name":…,"address":…,"place"?:…},"iss":[hex incarnation,…],"s3":bool,
 *    "read_lease_ms":n,"fence_seq":n,"last_seen_nano":n,"restored"?:{…},"checksum":…}
 *
 * `iss` and `s3` are the members that hold everything acknowledged: data directories, and the
 * bucket. `last_seen_nano` is for people; nothing is decided by it.
 *
 * R1 A write is conditional, on the tag last read, or on there being no lock. Every write has a
 *    `ver` one higher and a nonce of its own, so no two contents are equal and a tag never returns.
 *    What became of it only a read tells: our nonce is there: won; the head we built on: not yet,
 *    the same bytes again; any other: lost. A refusal is no answer, it may be of our own retry.
 * R3 A member that leaves counts until a head without it was read back: until `writeHead` says won.
 * R5 With `s3`, everyone, the same directory after a restart included, takes over through the
 *    bucket: {t+1, self, iss [], s3}, fence, replay, {iss [self]}. Without, only a member of `iss`
 *    may, with its own log. Neither takes the bucket out. Where that member is lost for good, an
 *    operator says so (`acceptLoss`).
 */
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Random } from "../lib/random.ts";
import { type Term, termOf } from "../model/revision.ts";
import { lockKey } from "../object/keys.ts";
import type { ObjectStore, StoredObject } from "../object/store.ts";
import { Backoff, type BackoffOptions, isTransient } from "./backoff.ts";
import { type Json, refuseOtherCluster, seal, unseal } from "./sealed.ts";

const formatVersion = 1;

/** A process that leads or led: which data directory, what people call it, where clients reach it. */
export interface Leader {
  /** The member id of its data directory. */
  readonly incarnation: bigint;
  readonly name: string;
  /** host:port; empty when it is not told. */
  readonly address: string;
  /** Where its data directory is: a copy of it has the same incarnation, and is elsewhere. */
  readonly place?: string | undefined;
}

/** The content of the lock. */
export interface Head {
  readonly cluster: bigint;
  /** Counts the writes of the lock, from 1. */
  readonly ver: number;
  /** Of this one write: 32 hex digits. */
  readonly nonce: string;
  readonly term: Term;
  readonly leader: Leader;
  /** Incarnations that hold everything acknowledged on their disk. */
  readonly iss: readonly bigint[];
  /** Whether the bucket does. */
  readonly s3: boolean;
  /** Milliseconds a challenger must see this head unchanged before it takes over; 0 for none. */
  readonly readLeaseMs: number;
  /** The slot of the newest fence that is known; 0 for none. */
  readonly fenceSeq: number;
  /** When it was written, by the writer's clock, in milliseconds since 1970. */
  readonly wallMs: number;
  /** What a restore noted about where the database came from; kept through every write. */
  readonly restored?: Json | undefined;
}

/** A head to be written; what makes each write its own is added then. */
export type HeadDraft = Omit<Head, "ver" | "nonce" | "wallMs">;

/** A head as it was read. */
export interface Observed {
  readonly head: Head;
  /** Names this content; a conditional write compares it. */
  readonly tag: string;
}

export interface Written {
  /** Whether the head that stands now is the one that was to be written. */
  readonly won: boolean;
  readonly now: Observed;
}

export interface WriteHeadOptions extends BackoffOptions {
  readonly clock: Clock;
  readonly random: Random;
}

export function encodeHead(head: Head): Buffer {
  assert(head.s3 || head.iss.length > 0, "someone holds what is acknowledged");
  return seal({
    format_version: formatVersion,
    cluster: head.cluster.toString(16),
    ver: head.ver,
    nonce: head.nonce,
    term: head.term,
    leader: { ...head.leader, incarnation: head.leader.incarnation.toString(16) },
    iss: head.iss.map((incarnation) => incarnation.toString(16)),
    s3: head.s3,
    read_lease_ms: head.readLeaseMs,
    fence_seq: head.fenceSeq,
    last_seen_nano: head.wallMs * 1e6,
    restored: head.restored,
  });
}

/** The head in `bytes`. CorruptionError when they are not what was written, ForeignError when newer. */
export function decodeHead(bytes: Buffer): Head {
  const fields = unseal(lockKey, bytes, formatVersion);
  const leader = fields.fields("leader");
  const head = {
    cluster: fields.id("cluster"),
    ver: fields.integer("ver", 1),
    nonce: fields.text("nonce", /^[0-9a-f]{32}$/),
    term: termOf(fields.integer("term", 1)),
    leader: {
      incarnation: leader.id("incarnation"),
      name: leader.text("name"),
      address: leader.text("address"),
      ...(leader.json.place !== undefined && { place: leader.text("place") }),
    },
    iss: fields.ids("iss"),
    s3: fields.boolean("s3"),
    readLeaseMs: fields.integer("read_lease_ms"),
    fenceSeq: fields.integer("fence_seq"),
    wallMs: Math.round(Number(fields.json.last_seen_nano) / 1e6) || 0,
  };
  if (!head.s3 && head.iss.length === 0) {
    throw new CorruptionError(lockKey, 0, "it names nobody who holds what is acknowledged");
  }
  if (fields.json.restored === undefined) return head;
  return { ...head, restored: fields.fields("restored").json };
}

/**
 * The lock as it stands; undefined when there is none. ForeignError when it is another cluster's
 * than `cluster`, or newer; CorruptionError; ObjectError.
 */
export async function readHead(
  store: ObjectStore,
  options: { readonly cluster?: bigint; readonly signal?: AbortSignal | undefined } = {},
): Promise<Observed | undefined> {
  return observe(await store.get(lockKey, options), options.cluster);
}

/** As `readHead`, but "same" when it is still `observed`, which costs less. */
export async function rereadHead(
  store: ObjectStore,
  observed: Observed,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Observed | "same" | undefined> {
  const found = await store.getIfChanged(lockKey, observed.tag, options);
  return found === "same" ? found : observe(found, observed.head.cluster);
}

/**
 * R1: writes `draft` over `observed`, undefined for "there is no lock", and reads what stands then.
 * While that is open, because the bucket does not answer, it tries again, for ever or until the
 * signal. Rejects with an ObjectError then, and when the bucket refuses for good (access, no such
 * bucket): the write may have happened, or happen later. At most one write of a leader at a time.
 */
export async function writeHead(
  store: ObjectStore,
  observed: Observed | undefined,
  draft: HeadDraft,
  options: WriteHeadOptions,
): Promise<Written> {
  const { clock, random, signal } = options;
  const ver = (observed?.head.ver ?? 0) + 1;
  const next = { ...draft, ver, nonce: freshNonce(random), wallMs: clock.wall() };
  const bytes = encodeHead(next);
  const backoff = new Backoff(options);
  for (let tag = observed?.tag; ; await backoff.wait("put", lockKey)) {
    try {
      if (tag === undefined) await store.putIfAbsent(lockKey, bytes, { signal });
      else await store.putIfMatch(lockKey, bytes, tag, { signal });
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    const now = await readPatiently(store, backoff, signal);
    if (now?.head.nonce === next.nonce) return { won: true, now };
    if (now?.head.nonce === observed?.head.nonce) tag = now?.tag;
    else if (now !== undefined) return { won: false, now };
    else throw new CorruptionError(lockKey, 0, "it was deleted while it was in use", deletedHint);
  }
}

const deletedHint = "put it back from a copy; without it nobody knows who may lead";

async function readPatiently(
  store: ObjectStore,
  backoff: Backoff,
  signal: AbortSignal | undefined,
): Promise<Observed | undefined> {
  for (;;) {
    try {
      return await readHead(store, { signal });
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    await backoff.wait("get", lockKey);
  }
}

/** What a takeover is based on. */
export interface Takeover {
  /** The head that stands; undefined on a prefix without one. */
  readonly head: Head | undefined;
  readonly self: Leader;
  readonly cluster: bigint;
  /** The newest term in the member's own log and in the bucket's; the new one is above it. */
  readonly pastTerm: number;
}

/** R5, first step through the bucket. Nobody but the bucket counts until the replay is done. */
export function takeThroughBucket(takeover: Takeover): HeadDraft {
  assert(takeover.head?.s3 !== false, "the bucket holds everything acknowledged");
  return { ...reign(takeover), iss: [], s3: true };
}

/** R5, with its own log: on a prefix without a lock, or as recorded member where the bucket is none. */
export function takeWithOwnLog(takeover: Takeover): HeadDraft {
  const { head, self } = takeover;
  const may = head === undefined || (!head.s3 && head.iss.includes(self.incarnation));
  assert(may, "this member holds everything acknowledged");
  return { ...reign(takeover), iss: [self.incarnation], s3: false };
}

/**
 * The bucket alone is the truth from now on, by the word of an operator: what only the disks in
 * `iss` hold is given up. Nobody leads after it; whoever starts next takes over through the bucket.
 */
export function acceptLoss(takeover: Takeover): HeadDraft {
  assert(takeover.head?.s3 === false, "there is something that the bucket need not have");
  return { ...reign(takeover), iss: [], s3: true };
}

/** The leader has its fence in slot `fenceSeq`, has replayed up to it, and holds that on its disk. */
export function recordSelf(head: Head, fenceSeq: number): HeadDraft {
  return { ...head, iss: [head.leader.incarnation], fenceSeq };
}

/** The bucket has the whole log, and every batch waits for it already. */
export function bucketJoins(head: Head): HeadDraft {
  assert(!head.s3, "the bucket is no member yet");
  return { ...head, s3: true };
}

/** The bucket goes; batches wait for it until this is read back. */
export function bucketLeaves(head: Head): HeadDraft {
  assert(head.s3 && head.iss.length > 0, "another member stays");
  return { ...head, s3: false };
}

/** The leader may answer reads without asking for as long as challengers wait; 0 ends it. */
export function grantReadLease(head: Head, milliseconds: number): HeadDraft {
  return { ...head, readLeaseMs: milliseconds };
}

function reign({ cluster, head, pastTerm, self }: Takeover): Omit<HeadDraft, "iss" | "s3"> {
  const term = termOf(Math.max(head?.term ?? 0, pastTerm) + 1);
  if (head !== undefined) refuseOtherCluster(lockKey, head.cluster, cluster);
  const { fenceSeq = 0, restored } = head ?? {};
  return { cluster, term, leader: self, readLeaseMs: 0, fenceSeq, restored };
}

function observe(found: StoredObject | undefined, cluster?: bigint): Observed | undefined {
  if (found === undefined) return undefined;
  const head = decodeHead(found.bytes);
  if (cluster !== undefined) refuseOtherCluster(lockKey, head.cluster, cluster);
  return { head, tag: found.tag };
}

function freshNonce(random: Random): string {
  const half = () => random.u64().toString(16).padStart(16, "0");
  return half() + half();
}
