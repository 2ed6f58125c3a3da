/** What a bucket is set up to do by itself, and what that means for a database in it. */

export interface BucketSettings {
  /** Of the bucket's lifecycle. */
  readonly rules: readonly LifecycleRule[];
  readonly isVersioned: boolean;
  readonly isLocked: boolean;
  readonly isReplicated: boolean;
}

/** As the S3 API has them; only what matters here. */
export interface LifecycleRule {
  readonly ID?: string | undefined;
  readonly Status?: string | undefined;
  /** Of an older form of rules. */
  readonly Prefix?: string | undefined;
  readonly Filter?: RuleFilter | undefined;
  readonly Expiration?:
    | { readonly Days?: number | undefined; readonly Date?: Date | undefined }
    | undefined;
  readonly Transitions?: readonly { readonly StorageClass?: string | undefined }[] | undefined;
}

interface RuleFilter {
  readonly Prefix?: string | undefined;
  readonly And?: { readonly Prefix?: string | undefined } | undefined;
}

/** Storage from which an object must be asked back before it can be read. */
const archives: ReadonlySet<string> = new Set(["GLACIER", "DEEP_ARCHIVE"]);

/** One sentence for each setting that endangers, or makes dearer, what is below `prefix`. */
export function hazardsOf(prefix: string, settings: BucketSettings): string[] {
  const { isLocked, isReplicated, isVersioned, rules } = settings;
  const told = rules
    .filter(({ Status }) => Status === "Enabled")
    .filter((rule) => meets(prefixOf(rule), prefix))
    .flatMap((rule) => ruleHazards(rule));
  if (isVersioned) {
    told.push(
      "versioning is on: what is deleted goes on costing, so add a rule that expires old versions",
    );
  }
  if (isLocked)
    told.push("object lock is on: what is retained cannot be deleted and goes on costing");
  if (isReplicated) {
    told.push("replication is on: the copy may lack what is acknowledged, so never start T4 on it");
  }
  return told;
}

function ruleHazards({ Expiration, ID, Transitions }: LifecycleRule): string[] {
  const name = ID === undefined ? "a lifecycle rule" : `the lifecycle rule ${ID}`;
  const told: string[] = [];
  if (Expiration?.Days !== undefined || Expiration?.Date !== undefined) {
    const when = Expiration.Days === undefined ? "at a date" : `after ${Expiration.Days} days`;
    told.push(
      `${name} expires objects ${when}: it would delete the log, the lock and tables in use`,
    );
  }
  const archive = Transitions?.find(({ StorageClass = "" }) => archives.has(StorageClass));
  if (archive !== undefined) {
    told.push(
      `${name} moves objects to ${archive.StorageClass}, where they cannot be read at once`,
    );
  }
  return told;
}

function prefixOf({ Filter, Prefix }: LifecycleRule): string {
  return Filter?.Prefix ?? Filter?.And?.Prefix ?? Prefix ?? "";
}

/** Whether a key below one prefix can be below the other. */
function meets(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}
