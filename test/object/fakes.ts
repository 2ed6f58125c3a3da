/** Stores that do not keep one of their promises: what the start-up probe is there to find out. */
import { MemoryStore } from "../../src/object/memory.ts";
import type { CallOptions, ListPage, StoredObject } from "../../src/object/store.ts";

/** It does not know If-None-Match. */
class IgnoresAbsence extends MemoryStore {
  override putIfAbsent(key: string, bytes: Uint8Array): Promise<string> {
    return this.put(key, bytes);
  }
}

/** It does not know If-Match. */
class IgnoresMatch extends MemoryStore {
  override putIfMatch(key: string, bytes: Uint8Array): Promise<string> {
    return this.put(key, bytes);
  }
}

/** It looks first and writes then: right as long as nobody else does the same. */
class RacesConditions extends MemoryStore {
  override async putIfAbsent(key: string, bytes: Uint8Array): Promise<string | undefined> {
    const seen = await this.get(key);
    await Bun.sleep(2);
    return seen === undefined ? await this.put(key, bytes) : undefined;
  }

  override async putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
  ): Promise<string | undefined> {
    const seen = await this.get(key);
    await Bun.sleep(2);
    return seen?.tag === tag ? await this.put(key, bytes) : undefined;
  }
}

/** Every content has the same tag. */
class ConstantTags extends MemoryStore {
  override async put(key: string, bytes: Uint8Array): Promise<string> {
    await super.put(key, bytes);
    return "00";
  }

  override async get(key: string): Promise<StoredObject | undefined> {
    const object = await super.get(key);
    return object && { ...object, tag: "00" };
  }

  override async putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
  ): Promise<string | undefined> {
    return (await this.get(key))?.tag === tag ? await this.put(key, bytes) : undefined;
  }
}

/** A list shows what was there a moment ago. */
class StaleList extends MemoryStore {
  override async list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const page = await super.list(prefix, after, options);
    // What was written last is not in it.
    return { ...page, objects: page.objects.slice(0, -1) };
  }
}

/** A read shows what was there before the last write. */
class StaleRead extends MemoryStore {
  readonly #before = new Map<string, StoredObject | undefined>();

  override async put(key: string, bytes: Uint8Array): Promise<string> {
    this.#before.set(key, await super.get(key));
    return await super.put(key, bytes);
  }

  override async get(key: string): Promise<StoredObject | undefined> {
    if (!this.#before.has(key)) return await super.get(key);
    const before = this.#before.get(key);
    this.#before.delete(key);
    return before;
  }
}

/** A list comes in no order. */
class Unordered extends MemoryStore {
  override async list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const page = await super.list(prefix, after, options);
    return { ...page, objects: page.objects.toReversed() };
  }
}

/** What is deleted is only hidden from lists. */
class ForgetsDeletions extends MemoryStore {
  override delete(): Promise<void> {
    return Promise.resolve();
  }
}

export interface Fake {
  readonly name: string;
  readonly make: () => MemoryStore;
  /** The checks that must find it out. */
  readonly foundBy: readonly string[];
}

export const fakes: readonly Fake[] = [
  {
    name: "ignores If-None-Match",
    make: () => new IgnoresAbsence(),
    foundBy: [
      "put-if-absent refuses a second writer",
      "of writers that put if absent at once, one wins",
    ],
  },
  {
    name: "ignores If-Match",
    make: () => new IgnoresMatch(),
    foundBy: [
      "put-if-match refuses a tag that is not there",
      "of writers that put if match at once, one wins",
    ],
  },
  {
    name: "checks conditions before it writes, and not while",
    make: () => new RacesConditions(),
    foundBy: [
      "of writers that put if absent at once, one wins",
      "of writers that put if match at once, one wins",
    ],
  },
  {
    name: "gives every content the same tag",
    make: () => new ConstantTags(),
    foundBy: ["put-if-match refuses a tag that is not there", "a tag changes with the content"],
  },
  {
    name: "lists what was there a moment ago",
    make: () => new StaleList(),
    foundBy: ["a list sees the writes before it, in byte order"],
  },
  {
    name: "reads what was there before the last write",
    make: () => new StaleRead(),
    foundBy: ["a read sees the write before it"],
  },
  {
    name: "lists keys in no order",
    make: () => new Unordered(),
    foundBy: ["a list sees the writes before it, in byte order"],
  },
  {
    name: "does not delete",
    make: () => new ForgetsDeletions(),
    foundBy: ["what is deleted is gone"],
  },
];
