/** What the figures depend on beside the programs. */
import fs from "node:fs";
import os from "node:os";
import { Latencies } from "./drive.ts";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly bun: string;
  /** Of one 4 KiB write and its fdatasync, in the directory of the run. */
  readonly syncMedianMs: number;
  readonly syncP99Ms: number;
}

const syncs = 300;

export function machineOf(directory: string): Machine {
  const sync = syncLatencies(directory);
  return {
    processor: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    // Without what a build of the kernel adds.
    system: `${os.type()} ${/^\d+\.\d+/.exec(os.release())?.[0] ?? ""}, ${os.arch()}`,
    bun: Bun.version,
    syncMedianMs: sync.quantile(0.5),
    syncP99Ms: sync.quantile(0.99),
  };
}

function syncLatencies(directory: string): Latencies {
  const path = `${directory}/sync`;
  const descriptor = fs.openSync(path, "w");
  const latencies = new Latencies();
  const bytes = Buffer.alloc(4096, 1);
  for (let at = 0; at < syncs; at++) {
    const started = performance.now();
    fs.writeSync(descriptor, bytes, 0, bytes.length, at * bytes.length);
    fs.fdatasyncSync(descriptor);
    latencies.add(performance.now() - started);
  }
  fs.closeSync(descriptor);
  fs.rmSync(path);
  return latencies;
}
