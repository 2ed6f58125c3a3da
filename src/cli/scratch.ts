/** A directory for the time of one command. */
import fs from "node:fs";
import os from "node:os";

/** Does `work` with a new directory below the system's temporary one, and removes it. */
export async function withScratch<T>(work: (path: string) => Promise<T>): Promise<T> {
  const path = fs.mkdtempSync(`${os.tmpdir()}/t4-`);
  try {
    return await work(path);
  } finally {
    fs.rmSync(path, { recursive: true, force: true });
  }
}
