/** Command lines that cannot be carried out, and what to say about them: always one line. */

/** What was typed is not understood. */
export class UsageError extends Error {
  override readonly name = "UsageError";

  /** A line break that was typed and is quoted shows as \n. */
  constructor(message: string) {
    super(message.replaceAll("\n", "\\n"));
  }
}

/** What was typed is understood, and what it names is not fit for use. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** What was asked for is not there. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

/** `, did you mean X?` when one of `known` is close to `typed`, else nothing. */
export function suggestion(typed: string, known: readonly string[], prefix = ""): string {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const word of known) {
    const distance = editDistance(typed, word);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best === undefined ? "" : `, did you mean ${prefix}${best}?`;
}

/** How many single letters must be inserted, removed or replaced to make `b` of `a` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
