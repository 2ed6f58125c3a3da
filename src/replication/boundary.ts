/**
 * `gc/boundary`: log objects below it may be gone. Sealed JSON (sealed.ts):
 *
 *   {"format_version":1,"seq":n,"index":n,…}
 *
 * Data objects in slots below `seq` may have been deleted, and hold nothing after `index`. It is
 * moved before they are, by conditional writes, and never back.
 */
import { boundaryKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { seal, unseal } from "./sealed.ts";

const formatVersion = 1;

export interface Boundary {
  /** The first slot that is whole; 0 before anything was deleted. */
  readonly seq: number;
  /** What lies below `seq` reaches to this index at most. */
  readonly index: number;
}

const start: Boundary = { seq: 0, index: 0 };

export function encodeBoundary({ index, seq }: Boundary): Buffer {
  return seal({ format_version: formatVersion, seq, index });
}

/** CorruptionError when it is damaged, ForeignError when a newer T4 wrote it. */
export function decodeBoundary(bytes: Buffer): Boundary {
  const fields = unseal(boundaryKey, bytes, formatVersion);
  return { seq: fields.integer("seq"), index: fields.integer("index") };
}

/** Below which slot log objects may be gone. As `decodeBoundary`; ObjectError. */
export async function readBoundary(store: ObjectStore, options?: CallOptions): Promise<Boundary> {
  const object = await store.get(boundaryKey, options);
  return object === undefined ? start : decodeBoundary(object.bytes);
}

/** Moves it to `target` unless it is there or beyond; where it stands then. */
export async function advanceBoundary(
  store: ObjectStore,
  target: Boundary,
  options?: CallOptions,
): Promise<Boundary> {
  const bytes = encodeBoundary(target);
  for (;;) {
    const object = await store.get(boundaryKey, options);
    const now = object === undefined ? start : decodeBoundary(object.bytes);
    if (now.seq >= target.seq) return now;
    const written =
      object === undefined
        ? await store.putIfAbsent(boundaryKey, bytes, options)
        : await store.putIfMatch(boundaryKey, bytes, object.tag, options);
    if (written !== undefined) return target;
  }
}
