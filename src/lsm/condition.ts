/** Something that callers wait for until it holds, and that others bring about. */
export class Condition {
  #waiters: PromiseWithResolvers<void>[] = [];
  #failure: { readonly error: unknown } | undefined;

  /**
   * Resolves once `holds()` is true, asked now and after each change. Rejects with the error that
   * `fail` was given, then or earlier.
   */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const waiter = Promise.withResolvers<void>();
      this.#waiters.push(waiter);
      await waiter.promise;
    }
  }

  /** Makes all who wait ask again. */
  changed(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve();
  }

  /** Nothing will change any more: whoever waits, or comes to wait, gets `error`. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.changed();
  }
}
