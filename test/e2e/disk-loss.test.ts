/** Whatever was answered is there after kill -9 and the loss of the disk, at any moment. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { type S3Fault, S3Server } from "../sim/s3.ts";
import { amount, say } from "../support/effort.ts";
import { temporaryDirectory } from "../support/t4.ts";
import { Life, type Moment } from "./life.ts";

const rounds = amount(60, 5, 500);
const seed = Number(process.env.T4_TEST_SEED ?? 1);

const moments: readonly Moment[] = ["answering", "answering", "making a table", "making a segment"];

/** Lives `rounds` lives on a bucket; each ends with kill -9, most with the loss of the disk. */
async function live(bucketFlags: readonly string[]): Promise<void> {
  using directory = temporaryDirectory();
  const random = new SeededRandom(seed);
  const dataDirectory = `${directory.path}/data`;
  const life = new Life(dataDirectory, random, { more: bucketFlags, answers: 400 });
  try {
    for (let round = 0; round < rounds; round++) {
      await using t4 = await life.start();
      const moment = moments[random.below(moments.length)] ?? "answering";
      await life.load(t4, "SIGKILL", () => life.comes(moment));
      if (random.below(10) > 0) life.lose();
      else await life.check();
    }
    await using t4 = await life.start();
    t4.signal("SIGTERM");
    expect(await t4.exited).toBe(143);
  } catch (error) {
    throw new Error(`T4_TEST_SEED=${seed}, ${life.counts.starts} starts`, { cause: error });
  }
  say(`${JSON.stringify(life.counts)} ${JSON.stringify(life.history.counts)}`);
  expect(life.counts.lostDisks).toBeGreaterThan(rounds / 2);
}

/** Checkpoints come often, so that starts come by all of restoring; no start waits for a read lease. */
const often = ["--checkpoint-entries", "500", "--strict-reads"];

test(
  `${rounds} times the disk of a member with a directory as bucket is lost`,
  async () => {
    using bucket = temporaryDirectory();
    await live(["--object-store", `file://${bucket.path}`, "--s3-prefix", "db", ...often]);
  },
  rounds * 20_000,
);

const failures: readonly S3Fault[] = [
  "500",
  "503",
  "reset",
  "truncated",
  "409",
  "412",
  "duplicate",
];

test(
  `${rounds} times the disk of a member is lost, while one request in five to S3 fails`,
  async () => {
    const random = new SeededRandom(seed);
    using server = new S3Server({
      plan: ({ operation }) => {
        if (random.below(5) > 0) return undefined;
        const fault = failures[random.below(failures.length)];
        return fault === "412" && !operation.startsWith("putIf") ? "500" : fault;
      },
    });
    const keys = ["--s3-access-key-id", "AKIDEXAMPLE", "--s3-secret-access-key", "secret"];
    const place = ["--s3-bucket", server.bucket, "--s3-endpoint", server.endpoint];
    await live([...place, "--s3-prefix", "db", ...keys, ...often]);
    say(
      `${server.requests.length} requests, ${JSON.stringify(Object.fromEntries(server.happened))}`,
    );
  },
  rounds * 40_000,
);
