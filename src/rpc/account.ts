/**
 * The bytes that are kept for clients: of requests that are not complete or not read, and of answers
 * that are not taken. No client alone is limited; when all together keep too much, the one that
 * keeps most has to go.
 */

/** A client, as the account knows it. */
export interface Debtor {
  /** Cuts the client off; what was kept for it is given back meanwhile, or later. */
  cutOff(heldBytes: number): void;
}

export class Account {
  readonly #bytesMax: number;
  readonly #held = new Map<Debtor, number>();
  #total = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** A client has come. */
  join(debtor: Debtor): void {
    this.#held.set(debtor, 0);
  }

  /** A client has gone: nothing is kept for it, whatever was said before. */
  leave(debtor: Debtor): void {
    this.#total -= this.#held.get(debtor) ?? 0;
    this.#held.delete(debtor);
  }

  /** Notes that `bytes` more are kept for a client, or fewer. May cut off any client, this one too. */
  hold(debtor: Debtor, bytes: number): void {
    const held = this.#held.get(debtor);
    // Somebody who is gone, or is being cut off, counts no more.
    if (held === undefined) return;
    this.#held.set(debtor, held + bytes);
    this.#total += bytes;
    if (bytes > 0 && this.#total > this.#bytesMax) this.#cutOffMost();
  }

  #cutOffMost(): void {
    let most: Debtor | undefined;
    let mostBytes = -1;
    for (const [debtor, bytes] of this.#held) {
      if (bytes <= mostBytes) continue;
      most = debtor;
      mostBytes = bytes;
    }
    if (most === undefined) return;
    this.leave(most);
    most.cutOff(mostBytes);
  }
}
