/** The storage engine without a network: what it has to reach, and what it reaches. */
import type { LoadFigures, ReopenFigures } from "./member.ts";
import { inOwnProcess } from "./process.ts";
import type { Round, Suite } from "./suite.ts";

const suite = "storage";

export const storage: Suite = {
  name: suite,
  rounds: 2,
  about:
    "A member in a process of its own, with 256 callers in it and no network: the same disk, every " +
    "batch synced, keys in random order. There is nothing of etcd's to hold beside the rates; " +
    "restart and memory have their counterpart above.",
  run: async ({ name }, round) => {
    if (name !== "t4") return;
    const { sheet } = round;
    const load = await phase<LoadFigures>("load", round);
    const reopen = await phase<ReopenFigures>("reopen", round);
    const { emptyPerSecond, fullPerSecond, quietP99Ms } = load;
    sheet.note(suite, "put, empty store", name, emptyPerSecond, "/s");
    sheet.note(suite, "put, loading all keys", name, load.loadPerSecond, "/s");
    sheet.note(suite, "put, all keys there", name, fullPerSecond, "/s");
    sheet.note(suite, "rate left of empty", name, (100 * fullPerSecond) / emptyPerSecond, "%");
    sheet.note(suite, "put p99, empty store", name, load.emptyP99Ms, "ms");
    sheet.note(suite, "put p99, quiet", name, quietP99Ms, "ms");
    sheet.note(suite, "put p99, compacting", name, load.compactingP99Ms, "ms");
    sheet.note(suite, "put, compacting", name, load.compactingPerSecond, "/s");
    sheet.note(suite, "compaction", name, load.compactionSeconds, "s");
    sheet.note(suite, "p99 of quiet", name, (100 * load.compactingP99Ms) / quietP99Ms, "%");
    sheet.noteBytes(suite, "memory after the load", name, load.loadedResidentBytes);
    sheet.noteBytes(suite, "disk after the load", name, load.loadedDiskBytes);
    sheet.noteBytes(suite, "disk after compaction", name, load.compactedDiskBytes);
    sheet.note(suite, "opening", name, reopen.openSeconds, "s");
    sheet.noteBytes(suite, "memory after opening", name, reopen.openResidentBytes);
    sheet.note(suite, "range of all keys", name, reopen.rangeSeconds, "s");
    sheet.noteBytes(suite, "memory after that", name, reopen.rangeResidentBytes);
  },
};

function phase<T>(name: "load" | "reopen", { directory, scale }: Round): Promise<T> {
  return inOwnProcess<T>([
    "member",
    name,
    `${directory}/data`,
    `${scale.keys}`,
    `${scale.stretch}`,
  ]);
}
