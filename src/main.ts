/** The program: carry out one command, exit with its code. */
import fs from "node:fs";
import { execute } from "./cli/command.ts";
import { linesOf } from "./cli/consent.ts";
import { exitCodeOf } from "./cli/exit.ts";

/**
 * Writes at once and completely: what process.stdout holds back for a slow reader is lost on exit.
 * A pipe takes what it has room for, and the rest when somebody has read. When nobody reads, there
 * is nobody to tell.
 */
function writer(descriptor: number): (text: string) => void {
  return (text) => {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length; ) {
      try {
        done += fs.writeSync(descriptor, bytes, done);
      } catch (error) {
        // Any other error: the reader has gone away, which is its right.
        if ((error as { code?: string }).code !== "EAGAIN") return;
        Bun.sleepSync(1);
      }
    }
  };
}

const warn = writer(2);
const argv = process.argv.slice(2);

try {
  const code = await execute(argv, {
    environment: process.env,
    interactive: process.stdout.isTTY || process.env.npm_lifecycle_event === "start",
    answers: process.stdin.isTTY,
    print: writer(1),
    warn,
    readLine: linesOf(() => Bun.stdin.stream()),
  });
  process.exit(code);
} catch (error) {
  warn(`t4: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(exitCodeOf(error));
}
