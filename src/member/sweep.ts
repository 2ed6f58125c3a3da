/** Physical compaction: what fell below the floor leaves the tables, in one sweep after the other. */
import type { Tree } from "../lsm/tree.ts";
import type { Store } from "../mvcc/store.ts";
import { type Checkpoint, type Committer, checkpointOf } from "./commit.ts";

export class Sweeper {
  readonly #committer: Committer;
  readonly #store: Store;
  readonly #tree: Tree<Checkpoint>;
  #last: Promise<void> = Promise.resolve();

  constructor(committer: Committer, store: Store, tree: Tree<Checkpoint>) {
    this.#committer = committer;
    this.#store = store;
    this.#tree = tree;
  }

  /** Sweeps, after the sweeps that are under way. True once it is done; see `done`. */
  sweep(): Promise<boolean> {
    this.#last = this.#last.then(async () => {
      this.#tree.seal(checkpointOf(this.#committer.applied, this.#store.state));
      await this.#tree.major();
    });
    return this.done();
  }

  /** True once the sweeps under way are done; false when the member stops before that. */
  async done(): Promise<boolean> {
    try {
      await this.#last;
      return true;
    } catch (error) {
      if (this.#committer.isServing) throw error;
      return false;
    }
  }
}
