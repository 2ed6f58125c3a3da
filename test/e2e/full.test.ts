/**
 * A disk that is full refuses writes and nothing else: reads go on, and once there is room so do
 * writes, without a restart. Nothing answered is lost, nothing refused is done.
 */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { checkDirectory } from "../support/check.ts";
import { Client } from "../support/client.ts";
import { failureOf, whole } from "../support/effort.ts";
import { runT4, startT4 } from "../support/t4.ts";
import { mountVolume, type Volume } from "../support/volume.ts";
import { Life } from "./life.ts";

const rounds = whole ? 60 : 6;
const fillsPerRound = 3;
const seed = Number(process.env.T4_TEST_SEED ?? 1);
const volumeMib = 32;
const anyPorts = ["--listen=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"];

/** Takes up room beside the data. */
class Ballast {
  readonly #volume: string;

  constructor({ path }: Volume) {
    this.#volume = path;
  }

  get freeBytes(): number {
    const { bavail, bsize } = fs.statfsSync(this.#volume);
    return bavail * bsize;
  }

  /** Leaves no more than these bytes free. */
  fill(leaveBytes: number): void {
    const bytes = Math.max(0, this.freeBytes - leaveBytes);
    try {
      fs.appendFileSync(`${this.#volume}/ballast`, Buffer.alloc(bytes));
    } catch (error) {
      // The server was quicker: all the fuller.
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  drop(): void {
    fs.rmSync(`${this.#volume}/ballast`, { force: true });
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

test(
  "a full disk refuses writes, reads go on, and room is all it needs",
  async () => {
    await using volume = await mountVolume(volumeMib);
    const ballast = new Ballast(volume);
    const random = new SeededRandom(seed);
    const life = new Life(`${volume.path}/data`, random);
    const { counts } = life.history;
    const fillAndFree = async () => {
      const answers = counts.answers + random.below(800);
      await until(() => counts.answers >= answers);
      // Where a little is left, it is a flush or a merge that finds no room.
      ballast.fill(random.below(2) * random.below(2_000_000));
      const enough = counts.answers + 100;
      await until(() => counts.answers >= enough);
      const refused = counts.refused + 200;
      await until(() => {
        ballast.fill(0);
        return counts.refused >= refused;
      });
    };
    try {
      for (let round = 0; round < rounds; round++) {
        await using t4 = await life.start();
        await life.load(t4, "SIGKILL", async () => {
          for (let fill = 1; ; fill++) {
            await fillAndFree();
            if (fill === fillsPerRound) return;
            ballast.drop();
            const revision = life.history.newest + 50;
            await until(() => life.history.newest >= revision);
          }
        });
        ballast.drop();
        await life.check();
      }
      await using _ = await life.start();
    } catch (error) {
      throw failureOf(seed, import.meta.path, error);
    }
    expect(counts.refused).toBeGreaterThanOrEqual(rounds * fillsPerRound * 200);
    process.stdout.write(`${JSON.stringify(counts)}\n`);
  },
  rounds * 30_000,
);

test("without room to start it says so, and starts when there is some", async () => {
  await using volume = await mountVolume(volumeMib);
  const ballast = new Ballast(volume);
  const data = `${volume.path}/data`;
  const key = Buffer.from("key");
  {
    await using t4 = await startT4(data);
    const client = new Client(t4.port);
    await client.unary(KVDefinition).put({ key, value: Buffer.from("value") });
    client.close();
    t4.signal("SIGKILL");
    await t4.exited;
  }
  ballast.fill(0);
  const another = `${volume.path}/another`;
  for (const directory of [data, another]) {
    const { code, stderr } = await runT4(["run", "--data-dir", directory, ...anyPorts]);
    expect([code, stderr]).toEqual([75, expect.stringContaining("ENOSPC")]);
    expect(stderr).toContain("free some");
    expect(stderr.trimEnd()).not.toContain("\n");
  }
  ballast.drop();
  {
    await using t4 = await startT4(data);
    const client = new Client(t4.port);
    const { kvs } = await client.unary(KVDefinition).range({ key });
    client.close();
    expect(kvs.map(({ value }) => Buffer.from(value).toString())).toEqual(["value"]);
  }
  expect(await checkDirectory(data)).toEqual([]);
  await using _ = await startT4(another);
}, 30_000);
