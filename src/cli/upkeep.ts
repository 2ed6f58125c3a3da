/** The options of the commands that look after a bucket: status, gc, branch, restore, recover. */
import { json, option, output, storeOptions, typed, unset, type Values } from "./options.ts";
import { duration, integer, ladder, moment, text, toggle } from "./value.ts";

const common = { ...storeOptions, output, json } as const;

const yes = typed(
  option("yes", toggle(), "false", "do it without asking; the answer where nobody can answer"),
);
const dryRun = typed(
  option("dry-run", toggle(), "false", "say what would be deleted, and delete nothing"),
);
const checkpoint = typed(
  unset("checkpoint", text("checkpoint"), "the newest", "its key, as `t4 restore list` shows it"),
);
const branchId = {
  ...unset("branch-id", text("id"), "", "what the branch is called, in the source's prefix"),
  required: true,
} as const;
const pointId = {
  ...typed(unset("id", text("id"), "", "what the restore point is called")),
  required: true,
} as const;
const target = {
  ...unset("data-dir", text("directory"), "", "where the restored database is put"),
  required: true,
} as const;
const overwrite = typed(
  option("yes", toggle(), "false", "needed where the directory holds a database: it is replaced"),
);

export const statusOptions = common;

export const gcOptions = {
  keep: typed(
    option("keep", integer("count", 0, 1_000_000), "3", "so many of the newest checkpoints stay"),
  ),
  ladder: typed(
    unset(
      "keep-ladder",
      ladder(),
      "none",
      "beside them one checkpoint for each stretch of time: 1h:24h,1d:30d keeps one an hour for a day and one a day for a month",
    ),
  ),
  graceMs: typed(
    option("grace", duration(0), "0s", "what was written so lately is left for another time"),
  ),
  attemptMs: typed(
    option(
      "attempt-grace",
      duration(60_000),
      "1h",
      "a checkpoint that was begun this long ago and not finished is given up for its maker",
    ),
  ),
  dryRun,
  yes,
  ...common,
} as const;

export const forkOptions = { branchId, checkpoint, ...common } as const;
export const unforkOptions = { branchId, dryRun, yes, ...common } as const;
export const branchListOptions = common;

export const restoreListOptions = common;
export const restoreCheckpointOptions = {
  dataDirectory: target,
  checkpoint,
  yes: overwrite,
  ...common,
} as const;
export const restoreOptions = {
  at: {
    ...typed(
      unset("at", moment(), "", "the moment: a revision, or a time such as 2026-11-25T13:00:00Z"),
    ),
    required: true,
  },
  dataDirectory: target,
  yes: overwrite,
  ...common,
} as const;
export const pinOptions = {
  pointId,
  at: typed(unset("at", moment(), "now", "the moment, as a time such as 2026-11-25T13:00:00Z")),
  ...common,
} as const;
export const unpinOptions = { pointId, dryRun, yes, ...common } as const;
export const pointOptions = { pointId, dataDirectory: target, yes: overwrite, ...common } as const;
export const pointsOptions = common;

export const recoverOptions = {
  acceptLoss: typed(
    option(
      "accept-loss",
      toggle(),
      "false",
      "give up what was acknowledged by a disk alone: the bucket is the database from now on",
    ),
  ),
  yes: typed(option("yes", toggle(), "false", "always needed: the loss cannot be undone")),
  ...common,
} as const;

export type UpkeepOptions = Values<typeof common>;
