/** Thrown by a step or a check that finds a promise broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** What `attempt` threw, if it was a Violation; any other error is passed on. */
export function violationOf(attempt: () => void): Violation | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
}
