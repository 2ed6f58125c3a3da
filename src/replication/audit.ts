/**
 * Every object below a prefix, looked at: is it what was put there, and is there what others name.
 * Nothing is written, and a damage does not end it.
 *
 *   1 lock, nodes, gc's notes, the pointer to the newest checkpoint
 *   2 checkpoints' manifests, those in the making, and pins
 *   3 tables, each against the hash that names it; those of a source that a branch needs, too
 *   4 the log, object after object, and where checkpoints say it stands
 *   5 what is named is there
 *
 * While members run, what is listed may be gone when it is read: then it does not count.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError } from "../lib/corruption.ts";
import {
  boundaryKey,
  branchPrefix,
  checkpointOfKey,
  checkpointPrefix,
  condemnedKey,
  latestKey,
  lockKey,
  logKey,
  logPrefix,
  nodesPrefix,
  pointPrefix,
  probePrefix,
  seqOf,
  tableOfKey,
  tablePrefix,
} from "../object/keys.ts";
import { type CallOptions, type ListedObject, listAll, type ObjectStore } from "../object/store.ts";
import { type Boundary, decodeBoundary } from "./boundary.ts";
import { decodeCondemned } from "./condemned.ts";
import { decodeHead, type Head } from "./lock.ts";
import {
  decodeLatest,
  decodeManifest,
  decodePending,
  keyOf,
  keyOfTable,
  type Latest,
  type Manifest,
  type TableRef,
} from "./manifest.ts";
import { readNode } from "./nodes.ts";
import { inParallel } from "./parallel.ts";
import { decodePin, isActive, isReliedOn, type Pin } from "./pin.ts";
import { fetchTable, type StoreAt } from "./restore.ts";
import { isUnreadable, ownKeys } from "./survey.ts";
import { type Finding, Trail } from "./trail.ts";

export interface AuditOptions extends CallOptions {
  readonly storeAt: StoreAt;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Objects under way at once. */
  readonly parallel: number;
  /** What is wrong with how a manifest's tables stand to each other; undefined for nothing. */
  checkTree(manifest: Manifest): string | undefined;
}

/** What was counted of one kind of objects. */
export interface Audited {
  readonly name: string;
  readonly counts: Readonly<Record<string, number>>;
}

/** Looks at everything. ObjectError when the store fails. */
export async function audit(store: ObjectStore, options: AuditOptions): Promise<Audit> {
  const walk = new Audit(store, options);
  await walk.run();
  return walk;
}

export class Audit {
  readonly findings: Finding[] = [];
  readonly parts: Audited[] = [];
  readonly notes: string[] = [];
  readonly #store: ObjectStore;
  readonly #options: AuditOptions;
  readonly #manifests = new Map<string, Manifest>();
  /** Those that somebody may count on; the others name what may be gone. */
  readonly #pins: Pin[] = [];
  readonly #unfinished: Pin[] = [];
  readonly #tables = new Map<string, number>();
  #cluster: bigint | undefined;

  constructor(store: ObjectStore, options: AuditOptions) {
    this.#store = store;
    this.#options = options;
  }

  async run(): Promise<void> {
    const head = await this.#read(lockKey, decodeHead);
    this.#cluster = head?.cluster;
    const boundary = await this.#read(boundaryKey, decodeBoundary);
    await this.#read(condemnedKey, decodeCondemned);
    const latest = await this.#read(latestKey, decodeLatest);
    await this.#checkpoints();
    await this.#checkPins();
    await this.#nodes();
    await this.#checkTables();
    await this.#references(latest);
    await this.#log(head, boundary);
    await this.#strangers();
  }

  /** What `decode` makes of an object; undefined when it is not there, or damaged. */
  async #read<T>(key: string, decode: (bytes: Buffer) => T): Promise<T | undefined> {
    return await this.#sound(key, async () => {
      const found = await this.#store.get(key, this.#options);
      return found && decode(found.bytes);
    });
  }

  async #sound<T>(key: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const isPlaced = error instanceof CorruptionError;
      const what = isPlaced ? error.what : error.message;
      this.#report(key, what, undefined, isPlaced ? error.offset : undefined);
      return undefined;
    }
  }

  #report(key: string, what: string, range?: string, offset?: number): void {
    this.findings.push({ key, offset, what, range });
  }

  async #list(prefix: string): Promise<ListedObject[]> {
    const { signal } = this.#options;
    return await Array.fromAsync(listAll(this.#store, prefix, { signal }));
  }

  async #checkpoints(): Promise<void> {
    const listed = await this.#list(checkpointPrefix);
    let pending = 0;
    await inParallel(listed, this.#options.parallel, async ({ key }) => {
      const place = checkpointOfKey(key);
      if (place?.attempt !== undefined) {
        pending++;
        await this.#read(key, (bytes) => decodePending(key, bytes));
      } else if (place !== undefined) {
        const manifest = await this.#read(key, (bytes) => decodeManifest(key, bytes));
        if (manifest !== undefined) this.#takeManifest(key, manifest);
      }
    });
    this.parts.push({ name: "checkpoints", counts: { whole: this.#manifests.size, pending } });
  }

  #takeManifest(key: string, manifest: Manifest): void {
    this.#manifests.set(key, manifest);
    this.#cluster ??= manifest.cluster;
    if (manifest.cluster !== this.#cluster) {
      const what = `it is of cluster ${manifest.cluster.toString(16)}`;
      this.#report(key, `${what}, not of ${this.#cluster.toString(16)}`);
    }
    const what = this.#options.checkTree(manifest);
    if (what !== undefined)
      this.#report(key, what, `the database at revision ${manifest.revision}`);
  }

  async #checkPins(): Promise<void> {
    const listed = [...(await this.#list(branchPrefix)), ...(await this.#list(pointPrefix))];
    await inParallel(listed, this.#options.parallel, async ({ key }) => {
      const pin = await this.#read(key, (bytes) => decodePin(key, bytes));
      if (pin === undefined || !isActive(pin, this.#options.nowMs)) return;
      (isReliedOn(pin) ? this.#pins : this.#unfinished).push(pin);
    });
    const active = this.#pins.length + this.#unfinished.length;
    this.parts.push({ name: "pins", counts: { objects: listed.length, active } });
  }

  async #nodes(): Promise<void> {
    const listed = await this.#list(nodesPrefix);
    const cluster = this.#cluster;
    for (const { key } of cluster === undefined ? [] : listed) {
      const [, hex] = /^nodes\/([1-9a-f][0-9a-f]{0,15})$/.exec(key) ?? [];
      if (hex === undefined || cluster === undefined) continue;
      const node = BigInt(`0x${hex}`);
      await this.#sound(key, () => readNode(this.#store, node, cluster, this.#options));
    }
    this.parts.push({ name: "nodes", counts: { objects: listed.length } });
  }

  /** All tables of the prefix, and those of others that are named. */
  async #checkTables(): Promise<void> {
    const listed = await this.#list(tablePrefix);
    let bytes = 0;
    await inParallel(listed, this.#options.parallel, async ({ key }) => {
      const place = tableOfKey(key);
      const found = place && (await this.#sound(key, () => this.#store.get(key, this.#options)));
      if (place === undefined || found === undefined) return;
      this.#tables.set(key, found.bytes.length);
      bytes += found.bytes.length;
      if (sha256(found.bytes) === place.hash) return;
      this.#report(key, "its bytes do not have the hash that names it", this.#users(key), 0);
    });
    const inherited = new Map<string, TableRef>();
    for (const { tables } of this.#named()) {
      for (const table of tables) {
        if (table.source !== undefined) inherited.set(withSource(table), table);
      }
    }
    await inParallel(inherited, this.#options.parallel, async ([key, table]) => {
      const from = this.#options.storeAt(table.source ?? "");
      await this.#sound(`../${key}`, () => fetchTable(from, table, this.#options));
    });
    const counts = { objects: listed.length, bytes, inherited: inherited.size };
    this.parts.push({ name: "tables", counts });
  }

  /** Manifests, and those of pins that somebody may count on. */
  #named(): Manifest[] {
    return [...this.#manifests.values(), ...this.#pins.map(({ checkpoint }) => checkpoint)];
  }

  /** The checkpoints that name a table, in words. */
  #users(key: string): string | undefined {
    const users = this.#named().filter(({ tables }) =>
      tables.some((table) => table.source === undefined && keyOfTable(table) === key),
    );
    if (users.length === 0) return "no checkpoint names it";
    return `checkpoints ${[...new Set(users.map(keyOf))].join(", ")}`;
  }

  async #references(latest: Latest | undefined): Promise<void> {
    const missing = new Set<string>();
    const used = new Set<string>();
    for (const { tables } of this.#named()) {
      for (const table of tables) {
        const key = keyOfTable(table);
        if (table.source !== undefined) continue;
        used.add(key);
        const bytes = this.#tables.get(key);
        if (bytes === table.bytes || missing.has(key)) continue;
        // It may have come after the list.
        const found = bytes ?? (await this.#store.get(key, this.#options))?.bytes.length;
        if (found === table.bytes) continue;
        missing.add(key);
        const what =
          found === undefined ? "it is missing" : `it has ${found} bytes of ${table.bytes}`;
        this.#report(key, what, this.#users(key));
      }
    }
    if (latest !== undefined && !this.#manifests.has(latest.checkpointKey)) {
      const isThere = (await this.#store.get(latest.checkpointKey, this.#options)) !== undefined;
      if (!isThere) this.#report(latestKey, `it names ${latest.checkpointKey}, which is not there`);
    }
    for (const { checkpoint } of this.#unfinished) {
      for (const key of ownKeys(checkpoint.tables)) used.add(key);
    }
    const orphans = [...this.#tables.keys()].filter((key) => !used.has(key)).length;
    if (orphans > 0)
      this.notes.push(`${orphans} table(s) are named by no checkpoint; gc removes them`);
  }

  async #log(head: Head | undefined, boundary: Boundary | undefined): Promise<void> {
    const cluster = this.#cluster;
    const listed = (await this.#list(logPrefix)).flatMap(({ key }) => seqOf(key) ?? []);
    if (cluster === undefined) {
      if (listed.length > 0) this.#report(lockKey, "there is a log, and no lock or checkpoint");
      return;
    }
    const trail = new Trail({
      cluster,
      firstSeq: boundary?.seq ?? 0,
      witnesses: [...this.#manifests].map(([key, manifest]) => ({ key, ...manifest })),
      report: (finding) => this.findings.push(finding),
    });
    let [objects, bytes] = [0, 0];
    for await (const { found, seq } of this.#objects(listed)) {
      // Below the boundary gc may delete it meanwhile; elsewhere its slot is found empty.
      if (found === undefined) continue;
      objects++;
      bytes += found.length;
      trail.take(seq, found);
    }
    trail.finish();
    const { batches, entries, fences, voids } = trail;
    this.parts.push({ name: "log", counts: { objects, bytes, fences, batches, entries } });
    if (voids > 0)
      this.notes.push(`${voids} log object(s) are void: their leader had been deposed`);
    this.#holdLock(head, trail, listed.length > 0);
  }

  /** The objects in the order of their slots; while one is looked at the next are on their way. */
  async *#objects(slots: readonly number[]) {
    const coming: Promise<Buffer | undefined>[] = [];
    const read = async (seq: number) => {
      const key = logKey(seq);
      return await this.#sound(key, async () => (await this.#store.get(key, this.#options))?.bytes);
    };
    let next = 0;
    for (const seq of slots) {
      while (next < slots.length && coming.length < this.#options.parallel) {
        const object = read(slots[next++] ?? 0);
        object.catch(() => undefined);
        coming.push(object);
      }
      yield { seq, found: await coming.shift() };
    }
  }

  /** What the lock and checkpoints say of the log's end. */
  #holdLock(head: Head | undefined, { isCut, last }: Trail, hasLog: boolean): void {
    if (head === undefined && hasLog && !this.findings.some(({ key }) => key === lockKey)) {
      this.#report(lockKey, "it is missing, while there is a log: nobody can tell who may lead");
    }
    if (last === undefined) return;
    if (head !== undefined && head.term < last.term) {
      this.#report(lockKey, `its term is ${head.term}, and the log's already ${last.term}`);
    }
    if (isCut) return;
    for (const [key, { lastSeq, position }] of this.#manifests) {
      if (position.index <= last.end.index || lastSeq === 0) continue;
      const range = `entries ${last.end.index + 1} to ${position.index}`;
      this.#report(key, `it goes on after the log, which ends with slot ${last.seq}`, range);
    }
  }

  async #strangers(): Promise<void> {
    const known = [
      ...[branchPrefix, checkpointPrefix, logPrefix, nodesPrefix, pointPrefix, probePrefix],
      ...[tablePrefix, boundaryKey, condemnedKey, latestKey, lockKey],
    ];
    const strange = (await this.#list("")).filter(
      ({ key }) => !known.some((prefix) => key.startsWith(prefix)),
    );
    if (strange.length === 0) return;
    this.notes.push(`${strange.length} object(s) are not T4's, such as ${strange[0]?.key}`);
  }
}

/** The key of an inherited table, from the root of the bucket. */
function withSource(table: TableRef): string {
  return `${table.source ? `${table.source}/` : ""}${keyOfTable(table)}`;
}
