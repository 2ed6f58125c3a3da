/** Makes a failing run short: the least of its operations that still make the servers differ. */
import type { EtcdTools } from "../setup/etcd.ts";
import { Arena } from "./arena.ts";
import { Mismatch } from "./mismatch.ts";
import type { Operation } from "./operation.ts";

/** Runs there may be; each has servers of its own. */
const runsMax = 200;

/** Some of `operations`, in their order, that still fail; all of them when no fewer do. */
export async function shrink(
  tools: EtcdTools,
  operations: readonly Operation[],
): Promise<readonly Operation[]> {
  let runs = 0;
  const fails = async (some: readonly Operation[]) =>
    runs++ < runsMax && (await differ(tools, some));
  let best = operations;
  for (let length = 8; length < operations.length; length *= 4) {
    if (!(await fails(operations.slice(-length)))) continue;
    best = operations.slice(-length);
    break;
  }
  for (let part = Math.ceil(best.length / 2); part >= 1 && best.length > 1; ) {
    const without = await firstFailing(best, part, fails);
    if (without !== undefined) best = without;
    else if (part === 1) break;
    part = Math.min(
      without === undefined ? Math.floor(part / 2) : part,
      Math.ceil(best.length / 2),
    );
  }
  return best;
}

async function firstFailing(
  operations: readonly Operation[],
  part: number,
  fails: (some: readonly Operation[]) => Promise<boolean>,
): Promise<readonly Operation[] | undefined> {
  for (let at = 0; at < operations.length; at += part) {
    const without = operations.toSpliced(at, part);
    if (await fails(without)) return without;
  }
  return undefined;
}

async function differ(tools: EtcdTools, operations: readonly Operation[]): Promise<boolean> {
  await using arena = await Arena.open(tools);
  try {
    for (const operation of operations) await arena.run(operation);
    await arena.run({ kind: "settle" });
    return false;
  } catch (error) {
    if (error instanceof Mismatch) return true;
    throw error;
  }
}
