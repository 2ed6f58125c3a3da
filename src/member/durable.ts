/** What the tables hold durably: where in the log they stand. */
import type { Position } from "../model/revision.ts";
import type { StoreState } from "../mvcc/store.ts";

/** What the tree's manifest remembers with each flush: where the log goes on, and the store's state. */
export interface Checkpoint extends StoreState {
  readonly index: number;
  readonly term: number;
  /** Hex. */
  readonly chain: string;
  /** No batch up to there was closed later, in milliseconds since 1970; absent in older manifests. */
  readonly wallMs?: number;
}

/**
 * The checkpoint of a store whose last applied entry stands at `position`, when the log had come to
 * `wallMs`.
 */
export function checkpointOf(position: Position, state: StoreState, wallMs: number): Checkpoint {
  const { chain, index, term } = position;
  return { ...state, index, term, chain: chain.toString(16), wallMs };
}
