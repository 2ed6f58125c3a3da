/**
 * How a member starts: a table of what may be found and what is then done. The columns are what can
 * be observed before anything is written; exactly one row matches whatever is found (a test goes
 * through every combination).
 *
 *   directory   new     no identity: nothing there
 *               empty   an identity and no entry, or only what the checkpoint of a begun prefix has
 *               data    entries, in tables or log
 *   bound       the directory's acknowledged writes are in a bucket, or it belongs to another
 *               (BUCKET says so)
 *   bucket      none    not configured
 *               blank   nothing below the prefix
 *               begun   a checkpoint and no lock, no log: a first start was cut short; nothing was
 *                       ever acknowledged there
 *               claimed a lock and no log: a first start was cut short a little later
 *               led     there are both
 *               lost    there is a log and no lock
 *   same        directory and prefix are of one cluster (never when it is new)
 *   s3          the lock says that the bucket holds everything acknowledged
 *   listed      the lock says that this directory does
 *   branch      --branch-checkpoint was given, and the lock does not say that this is that branch
 */

/** What was found; see the picture. Columns that make no sense for what was found are false. */
export interface Facts {
  readonly directory: "new" | "empty" | "data";
  readonly bound: boolean;
  readonly bucket: "none" | "blank" | "begun" | "claimed" | "led" | "lost";
  readonly same: boolean;
  readonly s3: boolean;
  readonly listed: boolean;
  readonly branch: boolean;
}

/** What is done. */
export type Plan =
  /** No bucket: the directory is all there is. */
  | "local"
  /** Make the lock, fence, begin an empty database. */
  | "create"
  /** Publish the source's checkpoint as the branch's own first one, then look again. */
  | "branch"
  /** Take the lock as who holds everything, upload a checkpoint of the directory, fence after it. */
  | "upload"
  /** Take the prefix's checkpoint, then make the lock and fence: what a cut-short start had left. */
  | "resume"
  /** Take the lock, fence, replay the bucket's log; the directory is a cache (R5). */
  | "through the bucket"
  /** Take the lock with the directory's own log, which holds everything (R5). */
  | "with its own log";

export type RefusalReason =
  | "bound elsewhere"
  | "lock is gone"
  | "another cluster"
  | "acknowledged elsewhere"
  | "branch into data"
  | "not that branch";

export interface Row {
  readonly name: string;
  /** Values a column may have; a column that is absent may have any. */
  readonly when: {
    readonly [Column in keyof Facts]?: Facts[Column] | readonly Facts[Column][];
  };
  readonly plan: Plan | { readonly refuse: RefusalReason };
}

const unused = ["new", "empty"] as const;
const locked = ["led", "claimed"] as const;

/** The rows; a row's name is what messages and tests call it. */
export const rows: readonly Row[] = [
  { name: "local", when: { bucket: "none", bound: false }, plan: "local" },
  { name: "bound", when: { bucket: "none", bound: true }, plan: { refuse: "bound elsewhere" } },
  { name: "lost", when: { bucket: "lost" }, plan: { refuse: "lock is gone" } },
  { name: "first", when: { bucket: "blank", directory: unused, branch: false }, plan: "create" },
  {
    name: "first of a branch",
    when: { bucket: "blank", directory: unused, branch: true },
    plan: "branch",
  },
  {
    name: "bring data",
    when: { bucket: "blank", directory: "data", bound: false, branch: false },
    plan: "upload",
  },
  {
    name: "bring what is elsewhere",
    when: { bucket: "blank", directory: "data", bound: true, branch: false },
    plan: { refuse: "bound elsewhere" },
  },
  {
    name: "branch into data",
    when: { bucket: "blank", directory: "data", branch: true },
    plan: { refuse: "branch into data" },
  },
  { name: "resume", when: { bucket: "begun", directory: unused }, plan: "resume" },
  {
    name: "resume bringing",
    when: { bucket: "begun", directory: "data", same: true },
    plan: "upload",
  },
  {
    name: "begun by another",
    when: { bucket: "begun", directory: "data", same: false },
    plan: { refuse: "another cluster" },
  },
  {
    name: "not that branch",
    when: { bucket: locked, branch: true },
    plan: { refuse: "not that branch" },
  },
  {
    name: "another's",
    when: { bucket: locked, branch: false, directory: "data", same: false },
    plan: { refuse: "another cluster" },
  },
  {
    name: "lost disk",
    when: { bucket: locked, branch: false, directory: unused, s3: true },
    plan: "through the bucket",
  },
  {
    name: "restart",
    when: { bucket: locked, branch: false, directory: "data", same: true, s3: true },
    plan: "through the bucket",
  },
  {
    name: "restart with its own log",
    when: {
      bucket: "led",
      branch: false,
      directory: ["empty", "data"],
      same: true,
      s3: false,
      listed: true,
    },
    plan: "with its own log",
  },
  {
    name: "resume bringing, with a lock",
    when: {
      bucket: "claimed",
      branch: false,
      directory: "data",
      same: true,
      s3: false,
      listed: true,
    },
    plan: "upload",
  },
  {
    name: "brought, and gone",
    when: {
      bucket: "claimed",
      branch: false,
      directory: "empty",
      same: true,
      s3: false,
      listed: true,
    },
    plan: { refuse: "acknowledged elsewhere" },
  },
  {
    name: "others hold it",
    when: {
      bucket: locked,
      branch: false,
      directory: ["empty", "data"],
      same: true,
      s3: false,
      listed: false,
    },
    plan: { refuse: "acknowledged elsewhere" },
  },
  {
    name: "others hold it, nothing here",
    when: { bucket: locked, branch: false, directory: unused, same: false, s3: false },
    plan: { refuse: "acknowledged elsewhere" },
  },
];

/** The row that `facts` fall into. */
export function rowOf(facts: Facts): Row {
  const row = rows.find((each) => matches(each, facts));
  if (row === undefined) throw new Error(`no row for ${JSON.stringify(facts)}`);
  return row;
}

/** Whether the row is about `facts`. */
export function matches({ when }: Row, facts: Facts): boolean {
  return Object.entries(when).every(([column, wanted]) => {
    const found = facts[column as keyof Facts];
    return Array.isArray(wanted) ? wanted.includes(found) : wanted === found;
  });
}
