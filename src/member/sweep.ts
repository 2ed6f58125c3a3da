/** Physical compaction: what fell below the floor leaves the tables, in one sweep after the other. */
import type { Tree } from "../lsm/tree.ts";
import type { Committer } from "./commit.ts";
import type { Checkpoint } from "./durable.ts";

export class Sweeper {
  readonly #committer: Committer;
  readonly #tree: Tree<Checkpoint>;
  #last: Promise<boolean> = Promise.resolve(true);

  constructor(committer: Committer, tree: Tree<Checkpoint>) {
    this.#committer = committer;
    this.#tree = tree;
  }

  /** Sweeps, after the sweeps that are under way; see `done`. */
  sweep(): Promise<boolean> {
    this.#last = this.#last.then(async () => {
      if (!this.#committer.seal()) return false;
      await this.#tree.major();
      return true;
    });
    return this.done();
  }

  /** True once the sweeps under way are done; false when the member stops before that. */
  async done(): Promise<boolean> {
    try {
      return await this.#last;
    } catch (error) {
      if (this.#committer.isServing) throw error;
      return false;
    }
  }
}
