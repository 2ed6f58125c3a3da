/** Where in our code a call of the disk is made, as the stack tells it. */
import type { DiskCall } from "../sim/disk.ts";

interface Frame {
  readonly name: string;
  readonly file: string;
}

const framesMax = 40;

/** Our functions on the stack, the caller of the disk first. */
function frames(): Frame[] {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = framesMax;
  const { stack = "" } = new Error("where");
  Error.stackTraceLimit = before;
  return stack.split("\n").flatMap((line) => {
    const [, name, file] = /at (?:async )?(\S+) \(.*\/src\/(\S+\.ts)/.exec(line) ?? [];
    return name === undefined || file === undefined ? [] : [{ name, file }];
  });
}

/** On whose behalf tables are written: those of a flush and of a merge are made by the same code. */
function roleOf(stack: readonly Frame[]): string {
  if (stack.some(({ file }) => file === "lsm/compaction.ts")) return " for a merge";
  if (stack.some(({ file }) => file === "lsm/flush.ts")) return " for a flush";
  return "";
}

/** The last part of a path, where it tells one file from another. */
function kindOf(path: string): string {
  const [, kind = ""] = /\/(MEMBER|MANIFEST)/.exec(path) ?? [];
  return kind && ` of ${kind}`;
}

/** A sync: "function: operation", and whose where one function syncs several things. */
export function syncSiteOf({ operation, path }: DiskCall): string {
  const stack = frames();
  const [caller] = stack;
  const kind = operation === "sync" ? kindOf(path) : "";
  return `${caller?.name}: ${operation}${kind}${roleOf(stack)}`;
}

/** Any call: the operation, and the function of each room through which it came. */
export function siteOf({ operation }: DiskCall): string {
  const stack = frames();
  let room: string | undefined;
  const doors = stack.filter(({ file }) => {
    const [entered] = file.split("/");
    const isDoor = entered !== room && file !== "lib/task.ts";
    room = entered;
    return isDoor;
  });
  const way = doors.map(({ file, name }) => `${file} ${name}`).join(" < ");
  return `${operation}: ${way}${roleOf(stack)}`;
}
