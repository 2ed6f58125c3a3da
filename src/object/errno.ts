/** The answers of a file system: those that are expected as values, the others as ObjectErrors. */
import type { Stats } from "node:fs";
import fs from "node:fs/promises";
import { DiskError } from "../lib/disk.ts";
import { ObjectError, type ObjectErrorKind } from "./store.ts";

/** What has this name, a link as itself; undefined when nothing has. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** False when the call failed with one of `codes`, which the caller expects. */
export async function succeeds(call: Promise<unknown>, ...codes: string[]): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (codes.includes(codeOf(error) ?? "")) return false;
    throw error;
  }
}

/** The system's code of an error, as ENOENT; undefined when it has none. */
export function codeOf(error: unknown): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : undefined;
}

/** Nothing has this name, or a part of it is a file. */
export function isAbsence(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

const kinds: Readonly<Record<string, ObjectErrorKind>> = {
  EACCES: "denied",
  EDQUOT: "full",
  EISDIR: "invalid",
  ELOOP: "invalid",
  ENAMETOOLONG: "invalid",
  ENOSPC: "full",
  ENOTDIR: "invalid",
  EPERM: "denied",
  EROFS: "denied",
};

/** What a file system says against a call on `path`, as an ObjectError; other errors as they are. */
export function objectErrorOf(
  error: unknown,
  { key, operation }: { readonly key: string; readonly operation: string },
  path: string,
): unknown {
  const code = codeOf(error);
  if (error instanceof ObjectError || code === undefined) return error;
  const told =
    error instanceof DiskError ? error : new DiskError(code, operation, path, { cause: error });
  return new ObjectError(kinds[code] ?? "unknown", operation, key, told.message, { cause: error });
}
