/** Many requests at once, and not too many. */

/**
 * Does `work` for every item, in order, at most `limit` at the same time. After a failure no other
 * is begun; those that run are waited for, and the first error is thrown.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const errors: unknown[] = [];
  const runner = async () => {
    while (errors.length === 0) {
      const next = queue.next();
      if (next.done) return;
      try {
        await work(next.value);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, runner));
  if (errors.length > 0) throw errors[0];
}
