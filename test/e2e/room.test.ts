/**
 * A busy node writes its log into room that was made before (src/wal/spare.ts): what it answered is
 * there after kill -9 at any moment of that, and nothing that was not asked for.
 */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { RangeResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { byteStringOf } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Clients } from "../bench/clients.ts";
import { keyEnd, keyOf, keyPrefix, numberIn } from "../bench/keys.ts";
import { paths, putRequest, rangeRequest } from "../bench/requests.ts";
import { checkDirectory } from "../support/check.ts";
import { failureOf, say, whole } from "../support/effort.ts";
import { startT4, temporaryDirectory } from "../support/t4.ts";

const rounds = whole ? 100 : 8;
const seed = Number(process.env.T4_TEST_SEED ?? 1);
const [connections, callersEach] = [16, 4];
/** Between the moment that is waited for and the kill. */
const delayMsMax = 60;
const pageKeys = 2000;

/** The log of one data directory, as it lies on the disk. */
class LogFiles {
  readonly #path: string;

  constructor(dataDirectory: string) {
    this.#path = `${dataDirectory}/wal`;
  }

  /** Whether room is there or being made. */
  get hasSpare(): boolean {
    return fs.readdirSync(this.#path).includes("spare.wal.tmp");
  }

  get newest(): string {
    return (
      fs
        .readdirSync(this.#path)
        .filter((name) => name.endsWith(".wal"))
        .sort()
        .at(-1) ?? ""
    );
  }

  /** Whether the newest segment ends with room that nothing was written into. */
  get hasRoom(): boolean {
    const tail = fs.readFileSync(`${this.#path}/${this.newest}`).subarray(-512);
    return tail.every((byte) => byte === 0);
  }
}

/** Puts numbers, each once, until the server is gone. */
class Writers {
  readonly answered = new Set<number>();
  sent = 0;

  async write(port: number): Promise<void> {
    using clients = await Clients.open(port, connections, callersEach);
    const callers = Array.from({ length: connections * callersEach }, (_, at) => at);
    await Promise.all(callers.map((caller) => this.#caller(clients, caller)));
  }

  async #caller(clients: Clients, caller: number): Promise<void> {
    for (;;) {
      const number = this.sent++;
      try {
        await clients.call(paths.put, putRequest(keyOf(number), number), caller);
      } catch {
        return;
      }
      this.answered.add(number);
    }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(1);
}

/** Of all values, a page of the keys after the other. */
async function numbersIn(port: number): Promise<Set<number>> {
  using clients = await Clients.open(port, 1, 1);
  const numbers = new Set<number>();
  let from: string = keyPrefix;
  for (;;) {
    const bytes = await clients.call(paths.range, rangeRequest(from, keyEnd, pageKeys));
    const { kvs, more } = RangeResponse.decode(bytes);
    for (const { value } of kvs) numbers.add(numberIn(value));
    const last = kvs.at(-1);
    if (!more || last === undefined) return numbers;
    from = `${byteStringOf(last.key)}\0`;
  }
}

test(
  `${rounds} times kill -9 of a node that writes into room: everything answered is there`,
  async () => {
    using directory = temporaryDirectory();
    const random = new SeededRandom(seed);
    const files = new LogFiles(directory.path);
    const writers = new Writers();
    let inRoom = 0;
    try {
      for (let round = 0; round < rounds; round++) {
        await using t4 = await startT4(directory.path);
        const written = writers.write(t4.port);
        const first = files.newest;
        // While the spare is made, or when it has become the segment, or the one after it.
        for (let spares = random.below(3); spares >= 0; spares--) {
          await until(() => files.hasSpare);
          if (spares > 0) await until(() => files.newest !== first);
        }
        await Bun.sleep(random.below(delayMsMax));
        t4.signal("SIGKILL");
        await t4.exited;
        await written;
        if (files.hasRoom) inRoom++;
      }
      await using t4 = await startT4(directory.path);
      const found = await numbersIn(t4.port);
      expect([...writers.answered].filter((number) => !found.has(number))).toEqual([]);
      expect([...found].filter((number) => number >= writers.sent)).toEqual([]);
      t4.signal("SIGTERM");
      await t4.exited;
      expect(fs.readdirSync(`${directory.path}/wal`)).not.toContain("spare.wal.tmp");
    } catch (error) {
      throw failureOf(seed, import.meta.path, error);
    }
    expect(inRoom).toBeGreaterThan(0);
    expect(await checkDirectory(directory.path)).toEqual([]);
    say(`${writers.answered.size} answers, ${inRoom} of ${rounds} deaths with room left`);
  },
  rounds * 20_000,
);
