/** Which checkpoints to keep: so many of the newest, and further back fewer the older they are. */

/** One checkpoint for every `everyMs`, as far back as `forMs`. */
export interface Rung {
  readonly everyMs: number;
  readonly forMs: number;
}

export interface Retention {
  /** So many of the newest; at least one is kept whatever it says. */
  readonly keep: number;
  readonly ladder?: readonly Rung[] | undefined;
}

/** What retention looks at. */
interface Dated {
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly wallMs: number;
}

/**
 * The keys to keep of `checkpoints`, which stand newest first. A rung keeps the newest of each
 * stretch of `everyMs`, counted from 1970, so that what is kept today is kept tomorrow.
 */
export function kept(
  checkpoints: readonly Dated[],
  { keep, ladder = [] }: Retention,
  nowMs: number,
): Set<string> {
  const keys = new Set(checkpoints.slice(0, Math.max(1, keep)).map(({ key }) => key));
  for (const { everyMs, forMs } of ladder) {
    const stretches = new Set<number>();
    for (const { key, wallMs } of checkpoints) {
      const stretch = Math.floor(wallMs / everyMs);
      if (nowMs - wallMs > forMs || stretches.has(stretch)) continue;
      stretches.add(stretch);
      keys.add(key);
    }
  }
  return keys;
}
