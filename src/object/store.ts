/**
 * The bucket, as everything above sees it: whole objects under keys, and conditional writes. All of
 * T4's safety between processes rests on two calls: `putIfAbsent` and `putIfMatch` let exactly one
 * of several writers win. Reads see the newest acknowledged write, lists too.
 *
 * An implementation says plainly what the store said. What a caller may conclude when a call fails:
 *
 *   undefined   the condition did not hold: another object is there (or, after a retry, one's own)
 *   conflict    refused because another call ran at the same time; nothing was written: try again
 *   unknown     nobody knows whether it happened: the answer was lost, or the store failed
 *   other       see ObjectErrorKind; nothing was written
 *
 * Retries, deadlines, and the answer to "was that mine?" are `retrying.ts`'s.
 */

/** One object. */
export interface StoredObject {
  readonly bytes: Buffer;
  /** Names this content of this key; `putIfMatch` compares it. Opaque. */
  readonly tag: string;
}

/** One object in a list. */
export interface ListedObject {
  readonly key: string;
  /** Size in bytes. */
  readonly bytes: number;
  /** When it was written, by the store's clock, in milliseconds since 1970. For people and grace periods. */
  readonly modifiedMs: number;
}

export interface ListPage {
  /** In byte order of the keys. */
  readonly objects: readonly ListedObject[];
  /** Whether more keys follow the last one here. */
  readonly hasMore: boolean;
}

export interface CallOptions {
  /** Gives the call up; it then rejects with an ObjectError of kind "unknown". */
  readonly signal?: AbortSignal | undefined;
  /** How many bytes a get is expected to bring, so that it is given the time they take. */
  readonly expectedBytes?: number | undefined;
}

export interface ObjectStore {
  /** For people: where the keys are, such as `s3://bucket/prefix/` or `file:///srv/t4/`. */
  readonly address: string;
  /** The object; undefined when there is none. */
  get(key: string, options?: CallOptions): Promise<StoredObject | undefined>;
  /** The object if its tag is no longer `tag`; "same" when it is; undefined when there is none. */
  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined>;
  /** Writes, whatever is there. The new tag. */
  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string>;
  /** Writes if nothing is there. The new tag; undefined when something is. */
  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined>;
  /** Writes if the object there has `tag`. The new tag; undefined when it has another, or none is there. */
  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined>;
  /** Removes; fine when there is none. */
  delete(key: string, options?: CallOptions): Promise<void>;
  /** Keys that begin with `prefix`, from the first after `after`; one page. */
  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage>;
  /** Older contents, where the store keeps them; undefined where it has no such thing. */
  readonly versions: ObjectVersions | undefined;
  /**
   * What the store is set up to do by itself that endangers keys that begin with `prefix`, such as
   * expiring objects: one sentence each, none as far as it may be asked. Undefined where nothing
   * can be set up.
   */
  readonly hazards?: ((prefix: string, options?: CallOptions) => Promise<string[]>) | undefined;
}

/** A content that a key has or had. */
export interface ObjectVersion extends ListedObject {
  readonly version: string;
  readonly isLatest: boolean;
  /** Whether the key was deleted then. */
  readonly isDeletion: boolean;
}

export interface VersionPage {
  /** By key, newest first within a key. */
  readonly versions: readonly ObjectVersion[];
  /** Where the next page begins; undefined after the last one. Opaque. */
  readonly next: string | undefined;
}

export interface ObjectVersions {
  /** Versions of keys that begin with `prefix`; one page, the first or the one that begins at `from`. */
  list(prefix: string, from?: string, options?: CallOptions): Promise<VersionPage>;
  /** One version; undefined when there is none, or when it is a deletion. */
  get(key: string, version: string, options?: CallOptions): Promise<StoredObject | undefined>;
}

export type ObjectErrorKind =
  /** Another call ran at the same time (HTTP 409); nothing was written. */
  | "conflict"
  /** It may have happened or not: time-out, connection lost, 5xx. */
  | "unknown"
  /** The store asks for patience (503 SlowDown, 429); taken for unknown by conditional writes. */
  | "throttled"
  /** Credentials are missing, wrong or expired, or do not allow it. */
  | "denied"
  /** There is no such bucket or directory. */
  | "noBucket"
  /** The bytes that came are not those that were stored. */
  | "damaged"
  /** No room (a directory on a full disk). */
  | "full"
  /** The store does not understand the request. */
  | "invalid";

/** A call to the store that failed. */
export class ObjectError extends Error {
  override readonly name = "ObjectError";
  readonly kind: ObjectErrorKind;
  readonly operation: string;
  readonly key: string;

  /** `why` completes "put wal/… failed: "; `address` is where the key is, as a store's. */
  constructor(
    kind: ObjectErrorKind,
    operation: string,
    key: string,
    why: string,
    options: ErrorOptions & { readonly address?: string } = {},
  ) {
    const { address = "", ...rest } = options;
    super(`${operation} ${address}${key} failed: ${why}`, rest);
    this.kind = kind;
    this.operation = operation;
    this.key = key;
  }
}

/**
 * The order of keys in every list: that of their UTF-8 bytes. For use with sort. JavaScript's own
 * order of texts is the same but for characters beyond U+FFFF.
 */
export function compareKeys(a: string, b: string): number {
  if (!surrogate.test(a) && !surrogate.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

const surrogate = /[\ud800-\udfff]/;

const keyBytesMax = 1024;

/**
 * What every store wants of a key: some text of at most 1,024 bytes, without control characters, and
 * no part between slashes that is empty, "." or ".." (URLs and directories give those a meaning of
 * their own). ObjectError of kind "invalid" otherwise.
 */
export function checkKey(operation: string, key: string): void {
  const problem = keyProblem(key);
  if (problem !== undefined) {
    throw new ObjectError("invalid", operation, JSON.stringify(key), `a key ${problem}`);
  }
}

function keyProblem(key: string): string | undefined {
  if (Buffer.byteLength(key) > keyBytesMax) return `has at most ${keyBytesMax} bytes`;
  if (/\p{Cc}/u.test(key) || !key.isWellFormed()) return "has no control characters";
  const isOdd = key.split("/").some((part) => part === "" || part === "." || part === "..");
  return isOdd ? 'has no part that is empty, "." or ".."' : undefined;
}

/** Throws what a call that was given up is answered with, when `signal` has aborted. */
export function checkSignal(operation: string, key: string, options?: CallOptions): void {
  if (options?.signal?.aborted) throw new ObjectError("unknown", operation, key, "given up");
}

/** Every key that begins with `prefix`, page by page, in byte order. */
export async function* listAll(
  store: ObjectStore,
  prefix: string,
  options?: CallOptions & { readonly after?: string },
): AsyncGenerator<ListedObject> {
  let after = options?.after;
  for (;;) {
    const page = await store.list(prefix, after, options);
    yield* page.objects;
    after = page.objects.at(-1)?.key;
    if (!page.hasMore || after === undefined) return;
  }
}

/** Every version of keys that begin with `prefix`, page by page. */
export async function* listAllVersions(
  versions: ObjectVersions,
  prefix: string,
  options?: CallOptions,
): AsyncGenerator<ObjectVersion> {
  let from: string | undefined;
  do {
    const page = await versions.list(prefix, from, options);
    yield* page.versions;
    from = page.next;
  } while (from !== undefined);
}
