/** One client that asks for one thing after the other, at random, until the server is gone. */
import type { Random } from "../../src/lib/random.ts";
import { codes } from "../../src/rpc/status.ts";
import { CallError } from "../support/client.ts";
import { fail, type History } from "./history.ts";
import {
  grant,
  type Put,
  put,
  type Request,
  read,
  remove,
  revoke,
  type Stubs,
  swap,
} from "./operation.ts";

const ownKeys = 12;
const sharedKeys = 16;
const leaseSeconds = 86_400;
const spaceExceeded = "etcdserver: mvcc: database space exceeded";
/** Values are parts of it. */
const filler = Buffer.alloc(2 ** 16, "0123456789 the quick brown fox jumps over the lazy dog ");

export class Writer {
  readonly #id: number;
  readonly #history: History;
  readonly #random: Random;
  /** The revision at which shared keys were last put, as far as writers have been told. */
  readonly #mods: Map<string, number>;
  #asked = 0;
  /** Leases that were granted for certain, and that nobody asked to revoke. */
  readonly #leases: bigint[] = [];

  constructor(id: number, history: History, random: Random, mods: Map<string, number>) {
    this.#id = id;
    this.#history = history;
    this.#random = random;
    this.#mods = mods;
  }

  /** Asks until a call breaks; whatever is answered, refused for want of room, or not is noted. */
  async run(stubs: Stubs): Promise<void> {
    for (;;) {
      const request = this.#next();
      const asked = this.#history.ask(request);
      try {
        const answer = await request.send(stubs);
        this.#history.answered(asked, answer);
        this.#learn(request, answer.header?.revision ?? 0);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        if (error.code === codes.resourceExhausted && error.message === spaceExceeded) {
          this.#history.refused(asked);
          continue;
        }
        if (error.code !== codes.unavailable) {
          fail(`${request.name}: ${error.code} ${error.message}`);
        }
        this.#history.lost(asked);
        return;
      }
    }
  }

  #learn({ changes, lease }: Request, revision: number): void {
    if (lease?.ttlSeconds !== undefined) this.#leases.push(lease.id);
    for (const { key } of changes(new Map())) this.#mods.set(key, revision);
  }

  #next(): Request {
    this.#asked++;
    const own = `w${this.#id}/`;
    const afterOwn = `w${this.#id}0`;
    const pick = this.#below(100);
    if (pick < 20) return put(this.#put(this.#shared()));
    if (pick < 45) return put(this.#put(this.#own()));
    if (pick < 50) return put(this.#put(`${own}removed`));
    if (pick < 58) return remove(this.#own());
    if (pick < 62) return remove(`${own}1`, `${own}2`);
    if (pick < 78) return this.#swap();
    if (pick < 84) return read(this.#shared(), "", this.#below(2) === 0);
    if (pick < 92) return read(own, afterOwn, this.#below(2) === 0);
    if (pick < 97 || this.#leases.length === 0) return this.#grant();
    const [lease] = this.#leases.splice(this.#below(this.#leases.length), 1) as [bigint];
    return revoke(lease);
  }

  #grant(): Request {
    const id = (BigInt(this.#id + 1) << 32n) | BigInt(this.#asked);
    return grant(id, leaseSeconds + this.#below(1000));
  }

  /** Guarded by what is known of the guard, which may be out of date. */
  #swap(): Request {
    const guard = this.#shared();
    const keys = new Set(Array.from({ length: 1 + this.#below(4) }, () => this.#own()));
    const puts = [guard, ...keys].map((key) => this.#put(key));
    return swap(guard, this.#mods.get(guard) ?? 0, puts, `w${this.#id}/removed`);
  }

  #put(key: string): Put {
    const size = this.#below(20) === 0 ? this.#below(filler.length) : this.#below(3000);
    const value = Buffer.concat([
      Buffer.from(`${this.#id}/${this.#asked}/${this.#below(1e9)} `),
      filler.subarray(0, size),
    ]);
    const at = this.#below(4 * Math.max(this.#leases.length, 1));
    return { key, value, lease: this.#leases[at] ?? 0n };
  }

  #own(): string {
    return `w${this.#id}/${this.#below(ownKeys)}`;
  }

  #shared(): string {
    return `shared/${this.#below(sharedKeys)}`;
  }

  #below(bound: number): number {
    return this.#random.below(bound);
  }
}
