/**
 * The dynamic table (RFC 7541 2.3.2 and 4): the fields that a connection's blocks asked to be
 * remembered. New ones come in at the front, old ones leave at the back when it is full.
 *
 *   slots  | . | e | d | c | b | a | . | . |      a ring; "e" is the newest and has offset 0
 *                ^front          ^
 */
import type { Field } from "./decoder.ts";

/** What an entry counts for beyond its bytes (4.1). */
const overheadBytes = 32;

/** What a field counts for, in a table (RFC 7541 4.1) and in a list (RFC 9113 6.5.2). */
export function fieldBytes({ name, value }: Field): number {
  return name.length + value.length + overheadBytes;
}

export class DynamicTable {
  /** A power of two of them: room for the smallest entries there may be. */
  readonly #slots: (Field | undefined)[];
  readonly #evicted: ((field: Field) => void) | undefined;
  /** The slot of the newest entry. */
  #front = 0;
  #entries = 0;
  #bytes = 0;
  #bytesMax: number;

  /** Never larger than `bytesMax`; `evicted` is told of every entry that leaves. */
  constructor(bytesMax: number, evicted?: (field: Field) => void) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1, bytesMax / overheadBytes)));
    this.#slots = new Array<Field | undefined>(slots).fill(undefined);
    this.#evicted = evicted;
    this.#bytesMax = bytesMax;
  }

  /** The size it may have now. */
  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** The entry at `offset`, 0 for the newest; undefined beyond the oldest. */
  at(offset: number): Field | undefined {
    if (offset >= this.#entries) return undefined;
    return this.#slots[(this.#front + offset) & (this.#slots.length - 1)];
  }

  /** Adds an entry, evicting others first; one that is too large only evicts all (4.4). */
  add(field: Field): void {
    const bytes = fieldBytes(field);
    this.#evictDownTo(this.#bytesMax - bytes);
    if (bytes > this.#bytesMax) return;
    this.#front = (this.#front - 1) & (this.#slots.length - 1);
    this.#slots[this.#front] = field;
    this.#entries++;
    this.#bytes += bytes;
  }

  /** Gives it another size (4.3), at most that of the constructor. */
  resize(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#evictDownTo(bytesMax);
  }

  #evictDownTo(bytes: number): void {
    while (this.#bytes > bytes && this.#entries > 0) {
      this.#entries--;
      const slot = (this.#front + this.#entries) & (this.#slots.length - 1);
      const field = this.#slots[slot] as Field;
      this.#slots[slot] = undefined;
      this.#bytes -= fieldBytes(field);
      this.#evicted?.(field);
    }
  }
}
