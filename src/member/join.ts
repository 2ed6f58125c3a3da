/**
 * Start-up with a bucket. What is found decides what is done (plan.ts). In all cases but one the
 * bucket's log is the log, and the directory a cache of it that is believed as far as it agrees:
 *
 *   1 tables   the directory's, or the newest whole checkpoint's where they are missing, damaged, or
 *              older than what the bucket's log still holds
 *   2 lock     taken by a conditional write: term + 1, nobody but the bucket counts
 *   3 fence    in the first free slot: nothing of an older term comes after it
 *   4 log      up to the fence: the directory's where a frame of it ends exactly there with the same
 *              chain hash, what follows is dropped; else the bucket's from the tables on
 *   5 lock     this directory holds everything, too
 *
 * Nothing that was read before the fence is taken for the end of the log. The one other case is a
 * directory that the lock says holds everything while the bucket does not: its own log counts, what
 * the bucket's holds must be a part of it, and what the bucket lacks is put there. So it is, too, with
 * a directory that comes to an empty prefix: the lock says that it holds everything, then its
 * checkpoint is uploaded, after which the log in the bucket begins.
 */
import { must } from "../lib/assert.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Batch, decodeBatch, type Placed } from "../model/batch.ts";
import { origin, type Position } from "../model/revision.ts";
import { logKey } from "../object/keys.ts";
import { Archive, emptyLog, findEnd, type LogEnd, putFence } from "../replication/archive.ts";
import { readBoundary } from "../replication/boundary.ts";
import {
  type Head,
  type HeadDraft,
  type Observed,
  recordSelf,
  takeThroughBucket,
  takeWithOwnLog,
  writeHead,
} from "../replication/lock.ts";
import type { Manifest } from "../replication/manifest.ts";
import { addBoot, registerNode } from "../replication/nodes.ts";
import { findSlot, replayLog } from "../replication/replay.ts";
import { Log } from "../wal/log.ts";
import { type Cut, surveyLog } from "../wal/survey.ts";
import { hasWaited, refuseUnlessKept } from "./alone.ts";
import { readBond, writeBond } from "./bond.ts";
import { beginBranch } from "./branch.ts";
import { publishOwn } from "./checkpoint.ts";
import {
  type DataDirectory,
  formatDirectory,
  type LockedDirectory,
  lockDirectory,
  ready,
  someId,
} from "./directory.ts";
import { checkpointOf } from "./durable.ts";
import { Leadership } from "./leadership.ts";
import { archiveMeters } from "./meters.ts";
import { outwait } from "./patience.ts";
import { apart, beyond, cutShort, lacking, planFor } from "./refuse.ts";
import { restoreTables, tablesEnd } from "./restore.ts";
import {
  type BucketOptions,
  logOptions,
  openRooms,
  type RecoverOptions,
  type Rooms,
  type Tables,
} from "./rooms.ts";
import { look, originOf, type Sight } from "./sight.ts";

/** Batches of this many bytes are synced together while the bucket's log is copied. */
const copyBytes = 2 ** 20;
/** Before the bucket is looked at again. */
const againMsMax = 200;

/** Opens the rooms of a member as leader of the bucket's prefix. On an error all is closed again. */
export async function join(options: RecoverOptions, bucket: BucketOptions): Promise<Rooms> {
  const locked = await lockDirectory(options.disk, options.dataDirectory);
  try {
    const joining = new Joining(options, bucket, locked);
    for (;;) {
      const rooms = await joining.attempt();
      if (rooms !== undefined) return rooms;
      // Two who start together must not wake each other for ever.
      await options.clock.sleep(options.random.below(againMsMax));
    }
  } catch (error) {
    locked.lock.release();
    throw error;
  }
}

class Joining {
  readonly #options: RecoverOptions;
  readonly #bucket: BucketOptions;
  #locked: LockedDirectory;
  /** The checkpoint that the directory's tables were taken from. */
  #restored: Manifest | undefined;

  constructor(options: RecoverOptions, bucket: BucketOptions, locked: LockedDirectory) {
    this.#options = options;
    this.#bucket = bucket;
    this.#locked = locked;
  }

  /** One try; undefined when the bucket is to be looked at again. */
  async attempt(): Promise<Rooms | undefined> {
    const { disk, onStep } = this.#options;
    onStep({ name: "bucket", done: 0, total: 0 });
    const { branch, store, storeAt } = this.#bucket;
    const sight = await look(disk, this.#locked, { store, storeAt, branch });
    const plan = await planFor(sight, this.#locked, store);
    if (plan === "with its own log") return await this.#withOwnLog(sight, false);
    if (plan === "upload") return await this.#withOwnLog(sight, true);
    if (plan !== "branch") return await this.#throughBucket(sight);
    const point = must(branch, "a branch has a point to begin from");
    await beginBranch(this.#options, this.#bucket, point);
    return undefined;
  }

  /** Steps 1 to 5. */
  async #throughBucket({ begun, bond, facts, observed: seen }: Sight): Promise<Rooms | undefined> {
    const { random } = this.#options;
    const { store } = this.#bucket;
    const known = seen?.head.cluster ?? begun?.cluster;
    const directory = await this.#directoryOf(
      known ?? this.#locked.identity?.clusterId ?? someId(random),
    );
    if (facts.directory === "data" && !hasWaited(bond, store.address)) {
      await refuseUnlessKept(this.#options, store, directory);
    }
    const empty = begun && emptyLog(begun.position, begun.revision, begun.wallMs);
    await this.#prepare(directory);
    const pastTerm = Math.max(begun?.term ?? 0, begun?.position.term ?? 0);
    const observed = await this.#take(directory, seen, takeThroughBucket, pastTerm);
    if (observed === undefined) return undefined;
    const fence = await this.#fence(directory, observed.head, empty);
    const rooms = await this.#openUpTo(directory, fence);
    const leadership = this.#lead(observed, directory, fence);
    try {
      await leadership.write((head) => recordSelf(head, fence.seq));
      return await this.#settle({ ...rooms, leadership });
    } catch (error) {
      await closeRooms(rooms);
      throw error;
    }
  }

  /** The directory's own log is the log. `brings`: to a prefix that has none. */
  async #withOwnLog(sight: Sight, brings: boolean): Promise<Rooms | undefined> {
    const { disk } = this.#options;
    const identity = must(this.#locked.identity, "a directory with a log has an identity");
    const directory = await ready(disk, this.#locked, identity);
    const cuts = brings ? [] : await this.#cuts(directory);
    const rooms = await openRooms(this.#options, directory);
    try {
      const { log } = rooms;
      const { term } = log.position;
      const observed = await this.#take(directory, sight.observed, takeWithOwnLog, term);
      if (observed === undefined) {
        await closeRooms(rooms);
        return undefined;
      }
      const empty = brings ? await this.#bring(rooms) : undefined;
      const fence = await this.#fence(directory, observed.head, empty);
      if (!(brings || holds(log, fence.position, cuts))) {
        throw lacking(directory, log.position, fence);
      }
      if (log.status().firstIndex > fence.position.index + 1) throw apart(directory, fence);
      const leadership = this.#lead(observed, directory, fence);
      return await this.#settle({ ...rooms, leadership });
    } catch (error) {
      await closeRooms(rooms);
      throw error;
    }
  }

  /** Puts a checkpoint of a directory with data into the prefix; where the log begins after it. */
  async #bring(rooms: Rooms): Promise<LogEnd> {
    const { log, store, tree } = rooms;
    this.#options.onStep({ name: "upload", done: 0, total: 0 });
    const seal = () => tree.seal(checkpointOf(log.position, store.state, log.wallMs));
    await publishOwn(this.#options, this.#bucket.store, rooms, seal);
    return emptyLog(log.position, store.revision, log.wallMs);
  }

  /** Makes the mode that is wanted the one that is recorded, before anything is acknowledged. */
  async #settle(rooms: Rooms & { readonly leadership: Leadership }): Promise<Rooms> {
    const { disk } = this.#options;
    const { store, syncUpload } = this.#bucket;
    const { directory, leadership, log } = rooms;
    const { address } = store;
    if (syncUpload) {
      await writeBond(disk, directory.path, { address, member: true });
      await leadership.requireBucket(log);
    } else {
      await leadership.releaseBucket();
      await writeBond(disk, directory.path, { address, member: false });
    }
    return rooms;
  }

  /** The directory as one of `cluster`: one without entries becomes a new member of it. */
  async #directoryOf(cluster: bigint): Promise<DataDirectory> {
    const { disk, random } = this.#options;
    const { identity } = this.#locked;
    const directory =
      identity?.clusterId === cluster
        ? await ready(disk, this.#locked, identity)
        : await formatDirectory(disk, this.#locked, random, cluster);
    this.#locked = directory;
    return directory;
  }

  /** Step 1, as far as it can be done before the lock is taken: whoever leads goes on meanwhile. */
  async #prepare(directory: DataDirectory): Promise<void> {
    const { index } = await readBoundary(this.#bucket.store);
    const has = this.#positionIn(directory);
    if (has !== undefined && has.index > 0 && has.index >= index) return;
    await this.#restore(directory);
  }

  async #restore(directory: DataDirectory): Promise<void> {
    this.#restored = await restoreTables(this.#options, this.#bucket, directory);
  }

  /** Where the directory's tables end; undefined when they are damaged. */
  #positionIn(directory: DataDirectory): Position | undefined {
    return tablesEnd(this.#options, directory);
  }

  /** Step 2, after those who may still answer reads have stopped. Undefined when it was lost. */
  async #take(
    directory: DataDirectory,
    observed: Observed | undefined,
    draft: typeof takeThroughBucket,
    pastTerm: number,
  ): Promise<Observed | undefined> {
    const { clock, logger, name, onStep, random } = this.#options;
    const { address, store } = this.#bucket;
    const place = this.#bucket.place();
    const { clusterId: cluster, memberId: incarnation } = directory.identity;
    onStep({ name: "lock", done: 0, total: 0 });
    const now = await outwait(observed, directory.identity, { ...this.#options, store, place });
    const node = { cluster, incarnation, name, bootIds: [place], createdMs: clock.wall() };
    await registerNode(store, node, { clock, random });
    await addBoot(store, node, place, { clock, random });
    const self = { incarnation, name, address, place };
    const next: HeadDraft = draft({ head: now?.head, self, cluster, pastTerm });
    // Where a branch comes from stays in its lock, so that its flags can be told from another's.
    const restored = next.restored ?? originOf(this.#bucket.branch);
    const written = await writeHead(store, now, { ...next, restored }, { clock, random });
    if (written.won) return written.now;
    logger.info("another process took the lock first; looking again", {
      leader: written.now.head.leader.name,
    });
    return undefined;
  }

  /** Step 3. */
  async #fence(
    { identity }: DataDirectory,
    { fenceSeq, term }: Head,
    empty: LogEnd | undefined,
  ): Promise<LogEnd> {
    const { clock, random } = this.#options;
    const { store } = this.#bucket;
    const { clusterId: cluster, memberId: writer } = identity;
    const options = { clock, random };
    let { seq: boundary } = await readBoundary(store);
    for (;;) {
      const atLeast = Math.max(fenceSeq, boundary - 1);
      const end = await findEnd(store, cluster, { empty: empty ?? emptyLog(), atLeast });
      const fence = await putFence({ store, cluster, term, writer }, end, options);
      // In a slot that had been emptied meanwhile it keeps nobody out of the ones after it.
      ({ seq: boundary } = await readBoundary(store));
      if (fence.seq >= boundary) return fence;
    }
  }

  #lead(observed: Observed, { identity }: DataDirectory, end: LogEnd): Leadership {
    const { clock, fatal, random, registry } = this.#options;
    const { store, strictReads } = this.#bucket;
    const { clusterId: cluster, memberId: writer } = identity;
    const { term } = observed.head;
    const meters = archiveMeters(registry);
    const archive = new Archive({ store, cluster, term, writer, end, clock, random, meters });
    return new Leadership({ store, observed, archive, clock, random, leases: !strictReads, fatal });
  }

  /** Step 4, and what is left of step 1. */
  async #openUpTo(directory: DataDirectory, fence: LogEnd): Promise<Rooms> {
    const { store } = this.#bucket;
    const { index, seq } = await readBoundary(store);
    const before = this.#positionIn(directory);
    if (before === undefined || before.index < index) {
      await this.#restore(directory);
    }
    const firstSeq = Math.max(seq, 1);
    try {
      return await this.#openLogUpTo(directory, fence, firstSeq);
    } catch (error) {
      const isOwn = error instanceof CorruptionError && error.path.startsWith(directory.path);
      if (!isOwn) throw error;
      this.#options.logger.warn("repairing the directory from the bucket", { error });
      await this.#restore(directory);
      return await this.#openLogUpTo(directory, fence, firstSeq);
    }
  }

  async #openLogUpTo(directory: DataDirectory, fence: LogEnd, firstSeq: number): Promise<Rooms> {
    const isLocal = await this.#hasLogUpTo(directory, fence);
    return await openRooms(this.#options, directory, async (tables) => {
      const own = logOptions(this.#options, directory, tables, fence.wallMs);
      const { applied } = own;
      if (applied.index > fence.position.index) throw beyond(directory, applied, fence);
      if (isLocal) return await Log.open({ ...own, end: fence.position.index });
      const log = await Log.begin(own, applied);
      try {
        await this.#copyLog(directory, tables, log, { fence, firstSeq });
        return log;
      } catch (error) {
        await log.close();
        throw error;
      }
    });
  }

  /**
   * Whether a frame of the directory's log ends where the bucket's does, in the same history. Where
   * it waited for the bucket, at most one comes after that.
   */
  async #hasLogUpTo(directory: DataDirectory, fence: LogEnd): Promise<boolean> {
    const { chain, index } = fence.position;
    const cuts = await this.#cuts(directory);
    if (!cuts.some((cut) => cut.index === index && cut.chain === chain)) return false;
    const more = new Set(cuts.map((cut) => cut.index).filter((each) => each > index));
    const waited = readBond(this.#options.disk, directory.path)?.member ?? false;
    if (waited && more.size > 1) throw cutShort(this.#bucket.store, fence, Math.max(...more));
    return true;
  }

  /** Where the directory's log may be cut, as far as it can be seen. */
  async #cuts(directory: DataDirectory): Promise<readonly Cut[]> {
    const { clock, disk, logger } = this.#options;
    const applied = this.#positionIn(directory) ?? origin;
    const { identity, logPath } = directory;
    const cluster = identity.clusterId;
    return await surveyLog({ applied, clock, cluster, directory: logPath, disk, logger });
  }

  /** The slot that follows tables which end at `from`, where their checkpoint tells; else undefined. */
  #slotAfter(from: Position, { fromSeq, to }: { fromSeq: number; to: number }): number | undefined {
    const { lastSeq = 0, position } = this.#restored ?? {};
    if (position?.index !== from.index || lastSeq < fromSeq || lastSeq >= to) return undefined;
    return lastSeq + 1;
  }

  /** Writes what the bucket's log holds after the tables into `log`, durably, and applies it. */
  async #copyLog(
    { identity: { clusterId: cluster } }: DataDirectory,
    { store: state, tree }: Tables,
    log: Log,
    { fence, firstSeq }: { readonly fence: LogEnd; readonly firstSeq: number },
  ): Promise<void> {
    const { clock, onStep } = this.#options;
    const { store } = this.#bucket;
    const from = log.position;
    const slots = { cluster, to: fence.seq, index: from.index, fromSeq: firstSeq };
    const fromSeq = this.#slotAfter(from, slots) ?? (await findSlot(store, slots));
    await replayLog(store, {
      cluster,
      from,
      fromSeq,
      to: fence.seq,
      end: fence.position,
      clock,
      progress: (done, total) => onStep({ name: "log", done, total }),
      onBatch: async (batch, seq) => {
        const placed = decoded(batch, `${store.address}${logKey(seq)}`);
        log.stageBatch(batch);
        if (log.stagedBytes >= copyBytes) await log.sync();
        for (const { entry, position } of placed) {
          state.apply(entry);
          if (tree.isFull) tree.seal(checkpointOf(position, state.state, log.wallMs));
        }
        await tree.room();
      },
    });
    await log.sync();
  }
}

function decoded(batch: Batch, path: string): Placed[] {
  try {
    return decodeBatch(batch);
  } catch (error) {
    throw new CorruptionError(path, 0, (error as Error).message);
  }
}

/** Whether a log with these cuts has everything up to `end`, in the same history. */
function holds(log: Log, end: Position, cuts: readonly Cut[]): boolean {
  if (end.index > log.position.index) return false;
  if (end.index === log.position.index) return end.chain === log.position.chain;
  const cut = cuts.find(({ index }) => index === end.index);
  if (cut !== undefined) return cut.chain === end.chain;
  // Older than what the tables hold: the reader that uploads the rest holds it against the log.
  return end.index < (cuts[0]?.index ?? 0) || end.index === 0;
}

async function closeRooms({ directory: _, log, tree }: Rooms): Promise<void> {
  await tree.close();
  await log.close();
}
