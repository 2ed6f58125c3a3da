/** `t4 doctor`: does the object store do what T4's safety rests on? */
import { SystemClock } from "../lib/clock.ts";
import { SystemRandom } from "../lib/random.ts";
import { lockKey } from "../object/keys.ts";
import { type Finding, probe } from "../object/probe.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { doctorOptions } from "./options.ts";
import { parse } from "./parse.ts";
import { errandLimits, openBucket } from "./store.ts";
import { UsageError } from "./usage.ts";

/** What was found, as JSON tells it. */
interface Report {
  readonly address: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly checks: readonly Finding[];
  readonly warnings: readonly string[];
}

export const doctor: Command = async (argv, shell) => {
  const options = parse(doctorOptions, argv, shell.environment);
  const clock = new SystemClock();
  const random = new SystemRandom();
  const { environment } = shell;
  const bucket = openBucket(options, { clock, random, environment, limits: errandLimits });
  if (bucket === undefined) {
    throw new UsageError("nothing to look at: give --object-store or --s3-bucket");
  }
  const { once, store } = bucket;
  // The probe writes, and a directory is made by the first write: not by whoever mistyped its name.
  await store.get(lockKey);
  const start = clock.now();
  const checks = await probe(once, { clock, random });
  const seconds = Number(((clock.now() - start) / 1000).toFixed(3));
  const warnings = (await store.hazards?.("")) ?? [];
  const ok = checks.every((each) => each.ok);
  const report = { address: once.address, ok, seconds, checks, warnings };
  shell.print(options.output === "json" ? `${JSON.stringify(report)}\n` : text(report));
  return ok ? exitCodes.ok.code : exitCodes.configuration.code;
};

function text({ address, checks, ok, seconds, warnings }: Report): string {
  const lines = checks.map((each) => {
    return `${each.ok ? "ok      " : "failed  "}${each.check}: ${each.detail}`;
  });
  const verdict = ok
    ? `T4 can use it (${seconds} s)`
    : "T4 cannot use it: acknowledged writes could be lost";
  return [address, ...lines, ...warnings.map((each) => `warning ${each}`), verdict, ""].join("\n");
}
