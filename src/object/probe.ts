/**
 * The start-up probe: does this store do what T4's safety rests on? It tries each promise of
 * store.ts on keys of its own, `probe/<nonce>/<check>/…`, in the place where the database will be,
 * and removes them again. A store that ignores a condition, lets two writers win or shows what was
 * there before is found out in about the time of ten requests, one after the other.
 *
 * It is given the store without retries: a retry would put right what it is here to see. Reads and
 * plain writes that fail are made again here. A conditional write whose outcome is unknown proves
 * nothing, so the check is made again, on other keys; in a race it is one more that may have won.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { probePrefix } from "./keys.ts";
import {
  compareKeys,
  listAll,
  ObjectError,
  type ObjectErrorKind,
  type ObjectStore,
} from "./store.ts";

/** What one check found. */
export interface Finding {
  /** The promise, in a few words; what a refusal names. */
  readonly check: string;
  readonly ok: boolean;
  /** What the store did; for one that keeps the promise, what was tried. */
  readonly detail: string;
}

export interface ProbeOptions {
  readonly clock: Pick<Clock, "sleep">;
  readonly random: Random;
}

/** A store that T4 cannot be safe on. The message names the first check that failed. */
export class NonconformingError extends Error {
  override readonly name = "NonconformingError";
}

/** How long all of it may take; a store that is this slow is of no use either. */
const deadlineMs = 60_000;
const sweepMsMax = 10_000;
const racers = 10;
const readsInARow = 10;
const triesMax = 12;
const pauseMsMin = 20;
const pauseMsMax = 250;

/** What a check has: a store, keys nobody else uses, and bytes nobody else writes. */
interface Trial {
  readonly store: ObjectStore;
  readonly options: ProbeOptions;
  /** A key of this trial. */
  readonly key: (name: string) => string;
  /** Where all of them are. */
  readonly prefix: string;
  readonly bytes: (content: string) => Buffer;
}

/** Throws a Failure when the promise is broken; resolves to what was tried. */
type Check = (trial: Trial) => Promise<string>;

/** What a check has to say against the store. */
class Failure extends Error {
  override readonly name = "Failure";
}

/**
 * A write was refused and is there: it may have been sent twice on the way. Told by a store again and
 * again, that is a failure.
 */
class Doubt extends Error {
  override readonly name = "Doubt";
}

const checks: Readonly<Record<string, Check>> = {
  "put-if-absent refuses a second writer": async (trial) => {
    const { bytes, key, store } = trial;
    const first = await settled(trial, () => store.putIfAbsent(key("a"), bytes("one")));
    if (first === undefined)
      throw await refused(trial, "one", "an object was refused where none was");
    const second = await settled(trial, () => store.putIfAbsent(key("a"), bytes("two")));
    if (second !== undefined)
      throw new Failure("it wrote over an object: the condition is ignored");
    await expectContent(trial, "a", "one", "the refused one");
    return "the second of two was refused";
  },

  "put-if-match refuses a tag that is not there": async (trial) => {
    const { bytes, key, store } = trial;
    const tag = await store.put(key("a"), bytes("one"));
    const other = await store.put(key("b"), bytes("another"));
    if (other === tag) throw new Failure("two contents have the same tag");
    const wrong = await settled(trial, () => store.putIfMatch(key("a"), bytes("two"), other));
    if (wrong !== undefined) throw new Failure("it wrote although the tag was another");
    await store.put(key("a"), bytes("three"));
    const stale = await settled(trial, () => store.putIfMatch(key("a"), bytes("four"), tag));
    if (stale !== undefined) throw new Failure("it wrote although the tag was an older one");
    const absent = await settled(trial, () => store.putIfMatch(key("c"), bytes("five"), tag));
    if (absent !== undefined) throw new Failure("it wrote where no object was");
    await expectContent(trial, "a", "three", "what was refused");
    return "another tag, an older one and a missing object were refused";
  },

  "put-if-match accepts the tag that is there": async (trial) => {
    const { bytes, key, store } = trial;
    const tag = await store.put(key("a"), bytes("one"));
    const next = await settled(trial, () => store.putIfMatch(key("a"), bytes("two"), tag));
    if (next === undefined) {
      throw await refused(trial, "two", "it refused the tag that put had answered with");
    }
    await expectContent(trial, "a", "two", "an older one");
    return "it wrote over the content that was named";
  },

  "a tag changes with the content": async ({ bytes, key, store }) => {
    const tags = new Set<string>();
    for (const content of ["one", "two", "three"]) {
      const put = await store.put(key("a"), bytes(content));
      const got = (await store.get(key("a")))?.tag;
      if (got !== put) throw new Failure(`put answered with tag ${put}, get with ${got}`);
      if (tags.has(put)) throw new Failure(`tag ${put} was answered for two contents`);
      tags.add(put);
      if ((await store.getIfChanged(key("a"), put)) !== "same") {
        throw new Failure("an object that has not changed was told to be another");
      }
    }
    return "three contents, three tags, the same from put and get";
  },

  "of writers that put if absent at once, one wins": async (trial) => {
    const { bytes, key, store } = trial;
    return await race(trial, (at) => store.putIfAbsent(key("a"), bytes(`${at}`)));
  },

  "of writers that put if match at once, one wins": async (trial) => {
    const { bytes, key, store } = trial;
    const tag = await store.put(key("a"), bytes("before"));
    return await race(trial, (at) => store.putIfMatch(key("a"), bytes(`${at}`), tag));
  },

  "a read sees the write before it": async (trial) => {
    for (let at = 1; at <= readsInARow; at++) {
      await trial.store.put(trial.key("a"), trial.bytes(`${at}`));
      await expectContent(trial, "a", `${at}`, "an older content");
    }
    return `${readsInARow} writes, each read back`;
  },

  "a list sees the writes before it, in byte order": async (trial) => {
    const { bytes, key, store } = trial;
    const names = ["00", "01", "1", "A", "a", "a-", "a0"];
    for (const name of names) {
      await store.put(key(name), bytes(name));
      await expectList(trial, [name], name);
    }
    await expectList(trial, names);
    const [first, ...rest] = names;
    const after = await keysOf(trial, key(first ?? ""));
    if (after.join() !== rest.join()) {
      throw new Failure(`asked for what follows ${first}, it listed ${after.join(", ")}`);
    }
    return `${names.length} keys, each listed at once`;
  },

  "what is deleted is gone": async (trial) => {
    const { bytes, key, store } = trial;
    await store.put(key("a"), bytes("one"));
    await store.delete(key("a"));
    if ((await store.get(key("a"))) !== undefined) throw new Failure("it can still be read");
    await expectList(trial, []);
    const again = await settled(trial, () => store.putIfAbsent(key("a"), bytes("two")));
    if (again === undefined)
      throw await refused(trial, "two", "a new object was refused in its place");
    return "a deleted object was neither read nor listed, and its key was free";
  },
};

/**
 * Tries every promise of `store`, all at the same time. Throws ObjectError when the store cannot be
 * asked: no such bucket, no permission, no answer.
 */
export async function probe(store: ObjectStore, options: ProbeOptions): Promise<Finding[]> {
  const nonce = options.random.u64().toString(16).padStart(16, "0");
  const prefix = `${probePrefix}${nonce}/`;
  const done = new AbortController();
  const late = options.clock.sleep(deadlineMs, done.signal).then(() => {
    throw new ObjectError("unknown", "probe", prefix, `no answer within ${deadlineMs / 1000} s`);
  });
  try {
    const everyCheck = Promise.allSettled(
      Object.entries(checks).map(([check, work], at) =>
        examine(check, work, { store: patient(store, options), options, prefix: `${prefix}${at}` }),
      ),
    );
    return (await Promise.race([everyCheck, late])).map((each) => {
      if (each.status === "rejected") throw each.reason;
      return each.value;
    });
  } finally {
    done.abort();
    await Promise.race([sweep(store, prefix), options.clock.sleep(sweepMsMax)]);
  }
}

/** Throws NonconformingError unless every check of the probe went well. */
export function requireConforming(findings: readonly Finding[], address: string): void {
  const failed = findings.filter(({ ok }) => !ok);
  const [first] = failed;
  if (first === undefined) return;
  const more = failed.length > 1 ? ` (and ${failed.length - 1} more)` : "";
  throw new NonconformingError(
    `${address} cannot be used: the check "${first.check}" failed: ${first.detail}${more}; see \`t4 doctor\``,
  );
}

async function examine(
  check: string,
  work: Check,
  { options, prefix, store }: { store: ObjectStore; options: ProbeOptions; prefix: string },
): Promise<Finding> {
  for (let attempt = 1; ; attempt++) {
    const own = `${prefix}.${attempt}/`;
    const nonce = options.random.u64().toString(16);
    try {
      const detail = await work({
        store,
        options,
        prefix: own,
        key: (name) => `${own}${name}`,
        bytes: (content) => Buffer.from(`${content} ${nonce}`),
      });
      return { check, ok: true, detail };
    } catch (error) {
      const isLast = attempt === triesMax;
      if (error instanceof Failure || (error instanceof Doubt && isLast)) {
        return { check, ok: false, detail: error.message };
      }
      const mayPass = isPassing(error, ["conflict", "unknown", "throttled"]);
      if (!(error instanceof Doubt || (mayPass && !isLast))) throw error;
      await pause(options, attempt);
    }
  }
}

/** Makes a conditional write until it is not refused because of another at the same time. */
async function settled<T>({ options }: Trial, write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (!isPassing(error, ["conflict"]) || attempt === triesMax) throw error;
      await pause(options, attempt);
    }
  }
}

async function race(
  trial: Trial,
  write: (racer: number) => Promise<string | undefined>,
): Promise<string> {
  const told = await Promise.all(
    Array.from({ length: racers }, (_, at) => outcome(trial, write, at)),
  );
  const winners = [...told.keys()].filter((at) => told[at] === "won");
  const unknown = [...told.keys()].filter((at) => told[at] === "unknown");
  const what = `${winners.length} of ${racers} were told that they had written`;
  if (winners.length > 1) throw new Failure(what);
  if (winners.length + unknown.length === 0) {
    const { bytes, key, store } = trial;
    const seen = (await store.get(key("a")))?.bytes;
    const isRacers = [...told.keys()].some((at) => seen?.equals(bytes(`${at}`)));
    throw isRacers ? new Doubt(what) : new Failure(what);
  }
  if (winners.length === 1) await expectContent(trial, "a", `${winners[0]}`, "another's content");
  return `one of ${racers} won, and its content stayed`;
}

/** The error for a write of `content` that was refused: whether it is there all the same decides. */
async function refused(
  { bytes, key, store }: Trial,
  content: string,
  what: string,
): Promise<Error> {
  const seen = (await store.get(key("a")))?.bytes;
  return seen?.equals(bytes(content)) ? new Doubt(what) : new Failure(what);
}

async function outcome(
  trial: Trial,
  write: (racer: number) => Promise<string | undefined>,
  racer: number,
): Promise<"won" | "lost" | "unknown"> {
  try {
    return (await settled(trial, () => write(racer))) === undefined ? "lost" : "won";
  } catch (error) {
    if (isPassing(error, ["unknown", "throttled"])) return "unknown";
    throw error;
  }
}

/** `store`, whose reads and plain writes are made again when they fail for a moment. */
function patient(store: ObjectStore, options: ProbeOptions): ObjectStore {
  const again = async <T>(call: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        const mayPass = isPassing(error, ["conflict", "unknown", "throttled"]);
        if (!mayPass || attempt === triesMax) throw error;
        await pause(options, attempt);
      }
    }
  };
  return {
    address: store.address,
    versions: undefined,
    get: (key, call) => again(() => store.get(key, call)),
    getIfChanged: (key, tag, call) => again(() => store.getIfChanged(key, tag, call)),
    put: (key, bytes, call) => again(() => store.put(key, bytes, call)),
    putIfAbsent: (key, bytes, call) => store.putIfAbsent(key, bytes, call),
    putIfMatch: (key, bytes, tag, call) => store.putIfMatch(key, bytes, tag, call),
    delete: (key, call) => again(() => store.delete(key, call)),
    list: (prefix, after, call) => again(() => store.list(prefix, after, call)),
  };
}

async function expectContent(
  { bytes, key, store }: Trial,
  name: string,
  content: string,
  otherwise: string,
): Promise<void> {
  const seen = (await store.get(key(name)))?.bytes;
  if (seen?.equals(bytes(content))) return;
  throw new Failure(seen === undefined ? "what was written is not there" : `${otherwise} is there`);
}

/** The names that are listed, or those that begin with `begin`. */
async function expectList(trial: Trial, names: readonly string[], begin?: string): Promise<void> {
  const seen = await keysOf(trial);
  const wanted = begin === undefined ? seen : seen.filter((name) => name === begin);
  if (wanted.join() === names.join()) return;
  const inOrder = wanted.toSorted(compareKeys).join() === names.join();
  throw new Failure(
    inOrder
      ? `the keys came in the order ${wanted.join(", ")}`
      : `${names.join(", ") || "nothing"} was to be listed, ${wanted.join(", ") || "nothing"} was`,
  );
}

async function keysOf({ prefix, store }: Trial, after?: string): Promise<string[]> {
  const listed = listAll(store, prefix, after === undefined ? {} : { after });
  return (await Array.fromAsync(listed)).map(({ key }) => key.slice(prefix.length));
}

/** Removes what the probe wrote; what cannot be removed harms nobody. */
async function sweep(store: ObjectStore, prefix: string): Promise<void> {
  try {
    const left = await Array.fromAsync(listAll(store, prefix));
    await Promise.all(left.map(({ key }) => store.delete(key)));
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
  }
}

function isPassing(error: unknown, kinds: readonly ObjectErrorKind[]): boolean {
  return error instanceof ObjectError && kinds.includes(error.kind);
}

async function pause({ clock, random }: ProbeOptions, attempt: number): Promise<void> {
  const pauseMs = Math.min(pauseMsMin * 2 ** attempt, pauseMsMax);
  await clock.sleep(pauseMs * (0.5 + random.float() / 2));
}
