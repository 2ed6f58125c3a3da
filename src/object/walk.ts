/**
 * A directory tree as a list of keys, in the byte order of whole keys. That is the order of names in
 * each directory when a directory's name is taken with the slash that follows it: "a-b" stands
 * before "a/…", "a0" after it.
 *
 * Only regular files are objects and only real directories are entered: a symbolic link could lead
 * anywhere.
 */
import type { Dirent } from "node:fs";
import fs from "node:fs/promises";
import { compareKeys } from "./store.ts";

export interface Walk {
  /** Absolute path of the directory that is walked. */
  readonly root: string;
  /** Only keys that begin with it. */
  readonly prefix: string;
  /** Only keys that follow it. */
  readonly after: string | undefined;
  /** A name in the root that is passed over. */
  readonly hidden: string;
}

/** The keys, relative to the root. Throws what node:fs throws, but for directories that vanish. */
export function walk(options: Walk): AsyncGenerator<string> {
  // Every directory on the way is found in the one above it, so no prefix leads out of the root.
  return walkFrom(options, "");
}

/** `base` is "" or ends with a slash. */
async function* walkFrom(options: Walk, base: string): AsyncGenerator<string> {
  const { after, hidden, prefix, root } = options;
  const keys = (await entries(`${root}/${base}`))
    .filter(({ name }) => base !== "" || name !== hidden)
    .flatMap((entry) => {
      if (entry.isFile()) return [`${base}${entry.name}`];
      return entry.isDirectory() ? [`${base}${entry.name}/`] : [];
    })
    .sort(compareKeys);
  for (const key of keys) {
    if (key.endsWith("/")) {
      const mayMatch = key.startsWith(prefix) || prefix.startsWith(key);
      const isOver = after !== undefined && compareKeys(key, after) < 0 && !after.startsWith(key);
      if (mayMatch && !isOver) yield* walkFrom(options, key);
    } else if (key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0)) {
      yield key;
    }
  }
}

async function entries(path: string): Promise<Dirent[]> {
  try {
    return await fs.readdir(path, { withFileTypes: true });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
