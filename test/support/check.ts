/** Walks a data directory that no process uses, as a start would find it. */
import { SystemClock } from "../../src/lib/clock.ts";
import { silent } from "../../src/lib/logger.ts";
import { PosixDisk } from "../../src/lib/posix.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { defaultSettings, limitsOf } from "../../src/member/limits.ts";
import { recover } from "../../src/member/recover.ts";
import { checkStore } from "../../src/mvcc/check.ts";

/**
 * Opens the directory, replays its log, reads every table and every row, and returns the claims that
 * are broken. What a start would tidy up is tidied up. Throws what would keep it from starting.
 */
export async function checkDirectory(dataDirectory: string): Promise<string[]> {
  const failures: unknown[] = [];
  const { directory, log, store, tree } = await recover({
    dataDirectory,
    name: "check",
    limits: limitsOf({ ...defaultSettings, memtableBytesMax: 2 ** 28 }),
    disk: new PosixDisk(),
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: silent,
    registry: new Registry(),
    onStep: () => undefined,
    wakeWatchers: () => undefined,
    leaseChanged: () => undefined,
    checkpointed: () => undefined,
    fatal: (error) => failures.push(error),
  });
  try {
    const broken = [...checkStore(store, tree), ...(await tree.check())];
    return [...broken, ...failures.map((failure) => `background work failed: ${failure}`)];
  } finally {
    await tree.close();
    await log.close();
    directory.lock.release();
  }
}
