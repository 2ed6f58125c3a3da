/**
 * The first start of a branch: it finds the pin that keeps its checkpoint, and publishes that as its
 * own first checkpoint, whose tables stay with the source. From then on its own prefix is all it
 * needs (replication/branch.ts): what comes next is a start on a prefix with a checkpoint.
 */
import { ForeignError } from "../lib/corruption.ts";
import { normalPrefix } from "../object/prefixed.ts";
import { joinBranch, publishFirst } from "../replication/branch.ts";
import { tableMsMax, uploadParallel } from "./checkpoint.ts";
import { someId } from "./directory.ts";
import type { BranchPoint, BucketOptions, RecoverOptions } from "./rooms.ts";

/**
 * Puts the branch's first checkpoint into its prefix, unless another start is faster, or gc takes
 * this attempt for one that was given up: whoever looks again sees what came of it. ForeignError
 * when no fork that finished pins the checkpoint, or another branch has the pin; CorruptionError; ObjectError.
 */
export async function beginBranch(
  { clock, random }: Pick<RecoverOptions, "clock" | "random">,
  { store, storeAt }: Pick<BucketOptions, "store" | "storeAt">,
  { checkpointKey, prefix, sourcePrefix }: BranchPoint,
): Promise<void> {
  const source = storeAt(sourcePrefix);
  const joined = await joinBranch(source, checkpointKey, {
    sourcePrefix: normalPrefix(sourcePrefix),
    ownPrefix: normalPrefix(prefix),
    nowMs: clock.wall(),
    random,
    storeAt,
  });
  if (joined.outcome === "unpinned") {
    throw new ForeignError(
      `${source.address}${checkpointKey}`,
      "is not pinned for a branch, so gc may delete it",
      "run `t4 branch fork --branch-id … --checkpoint …` first, and give the checkpoint that it prints",
    );
  }
  if (joined.outcome === "unverified") {
    throw new ForeignError(
      `${source.address}${checkpointKey}`,
      `is pinned for branch "${joined.id}" by a fork that did not finish, so gc may be deleting it`,
      "run `t4 branch fork` again, with the same --branch-id, and give the checkpoint that it prints",
    );
  }
  if (joined.outcome === "taken") {
    throw new ForeignError(
      `${source.address}${checkpointKey}`,
      `is pinned for the branch in prefix "${joined.prefix}"`,
      "fork it once more under another --branch-id, or start on that prefix",
    );
  }
  const { checkpoint } = joined;
  const own = { cluster: someId(random), term: checkpoint.term };
  await publishFirst(store, checkpoint, own, {
    clock,
    random,
    parallel: uploadParallel,
    tableMsMax,
    lockTerm: () => Promise.resolve(0),
  });
}
