/**
 * Asking before something is done that cannot be undone. Where nobody can answer, a script does as
 * it says; what is too dear even for that needs `--yes` wherever it is typed.
 */
import type { Shell } from "./command.ts";
import { UsageError } from "./usage.ts";

/**
 * Whether to do what `plan` says, one or more whole lines. `yes` is the answer that was given with
 * --yes. A person at a terminal is shown the plan and asked; without a terminal the answer is yes.
 * A terminal that is closed while the question stands answers no.
 */
export async function consent(shell: Shell, plan: string, yes: boolean): Promise<boolean> {
  if (yes || !shell.answers) return true;
  shell.warn(plan);
  for (;;) {
    shell.warn("Go on? [y/N] ");
    const line = await shell.readLine();
    const answer = line?.trim().toLowerCase();
    if (answer === "y" || answer === "yes") return true;
    if (answer === undefined) shell.warn("\n");
    if (answer === undefined || answer === "" || answer === "n" || answer === "no") return false;
  }
}

/** Throws a UsageError with what `plan` says is lost, unless --yes was given. */
export function demandConsent(plan: string, yes: boolean): void {
  if (!yes) throw new UsageError(`${plan}; if that is meant, add --yes`);
}

/** Gives the lines of a stream one by one, undefined after the last; opens it when first asked. */
export function linesOf(open: () => AsyncIterable<Uint8Array>): () => Promise<string | undefined> {
  let chunks: AsyncIterator<Uint8Array> | undefined;
  const decoder = new TextDecoder();
  let text = "";
  return async () => {
    chunks ??= open()[Symbol.asyncIterator]();
    let end = text.indexOf("\n");
    while (end < 0) {
      const { done, value } = await chunks.next();
      if (done) break;
      text += decoder.decode(value, { stream: true });
      end = text.indexOf("\n");
    }
    if (end < 0 && text === "") return undefined;
    const line = end < 0 ? text : text.slice(0, end);
    text = end < 0 ? "" : text.slice(end + 1);
    return line;
  };
}
