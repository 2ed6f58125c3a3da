/**
 * Broken invariants. An expected "no" is a value, a failed environment is a thrown Error; what is
 * asserted here is neither: it is a bug or damaged memory, and the process stops on it.
 */

/** A claim about our own state that turned out false. Never caught and carried on from. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws InvariantError with `claim` when `condition` is falsy. The claim states what should hold. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new InvariantError(claim);
}

/** `value`, which `claim` says is present; InvariantError when it is null or undefined. */
export function must<T>(value: T | null | undefined, claim: string): T {
  if (value === null || value === undefined) throw new InvariantError(claim);
  return value;
}

/** The end of an exhaustive switch: does not compile while a variant is unhandled. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable variant: ${JSON.stringify(value)}`);
}
