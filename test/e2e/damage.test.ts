/**
 * A file that is not as it was written: the process says which file and where, and ends with code 7,
 * at the start or when it meets the damage. It never answers with what is not true.
 */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { CallError, Client } from "../support/client.ts";
import { launchT4, startT4, temporaryDirectory } from "../support/t4.ts";

const seed = Number(process.env.T4_TEST_SEED ?? 1);
const flipsPerFile = process.env.T4_TEST_WHOLE === "1" ? 100 : 8;
const everything = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };
const keys = 60;
const valueBytes = 30_000;

/** How the name of the log's first segment begins. */
const firstEntry = "00000000000000000001-";

/** Makes a directory with tables, and a log that begins and ends after them; returns its truth. */
async function sample(directory: string): Promise<string> {
  const flags = ["--memtable-mb", "1", "--segment-max-size-mb", "1"];
  await using t4 = await startT4(directory, flags);
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  let put = 0;
  const oldest = () => fs.readdirSync(`${directory}/wal`).sort()[0] ?? "";
  while (put < keys || tablesOf(directory).length === 0 || oldest().startsWith(firstEntry)) {
    const value = Buffer.alloc(valueBytes, `value ${put} `);
    await kv.put({ key: Buffer.from(`key ${put % keys}`), value });
    put++;
  }
  await kv.put({ key: Buffer.from("last"), value: Buffer.alloc(valueBytes, "last") });
  const truth = await readAll(t4.port);
  client.close();
  t4.signal("SIGKILL");
  await t4.exited;
  return truth;
}

function tablesOf(directory: string): string[] {
  return fs.readdirSync(`${directory}/db`).filter((name) => name.endsWith(".sst"));
}

/** A hash of all keys, now and at many revisions since the beginning. */
async function readAll(port: number): Promise<string> {
  const client = new Client(port);
  try {
    const kv = client.unary(KVDefinition);
    const { header } = await kv.range(everything);
    const texts: string[] = [];
    for (let revision = header?.revision ?? 0; revision > 1; revision -= 7) {
      const { count, kvs } = await kv.range({ ...everything, revision });
      const hashes = kvs.map(({ key, modRevision, value }) => [key, modRevision, Bun.hash(value)]);
      texts.push(`${revision} ${count} ${hashes.join()}`);
    }
    return Bun.hash(texts.join()).toString(36);
  } finally {
    client.close();
  }
}

/**
 * Starts on a directory and reads everything: the truth as it tells it, or the line and the code
 * that it ended with, at the start or while it was read.
 */
async function inspect(
  directory: string,
): Promise<{ truth: string } | { code: number; line: string }> {
  await using t4 = launchT4(directory);
  const ended = async () => {
    const code = await t4.exited;
    return { code, line: String(t4.log.at(-1)?.error) };
  };
  try {
    const { listen } = await t4.serving;
    return { truth: await readAll(Number(String(listen).split(":")[1])) };
  } catch (error) {
    // It did not come up, or it went down with calls in progress.
    if (error instanceof CallError || `${error}`.includes("t4 ended")) return await ended();
    throw error;
  }
}

/** Damages a copy of the sample and inspects it. */
async function damaged(original: string, damage: (directory: string) => void) {
  using copy = temporaryDirectory();
  fs.cpSync(original, copy.path, { recursive: true });
  damage(copy.path);
  const found = await inspect(copy.path);
  return "line" in found ? { ...found, line: found.line.replaceAll(copy.path, "") } : found;
}

function flip(file: string, at: number, bit: number): void {
  const bytes = fs.readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  fs.writeFileSync(file, bytes);
}

function newestSegment(directory: string): string {
  return `wal/${fs.readdirSync(`${directory}/wal`).sort().at(-1)}`;
}

/** Some places of a file, its first and its last byte always. */
function placesIn(file: string, random: Random): number[] {
  const { size } = fs.statSync(file);
  return [0, size - 1, ...Array.from({ length: flipsPerFile - 2 }, () => random.below(size))];
}

test("one flipped bit in a file is found, and named", async () => {
  using original = temporaryDirectory();
  const truth = await sample(original.path);
  expect(await damaged(original.path, () => undefined)).toEqual({ truth });
  const random = new SeededRandom(seed);
  const files = ["MEMBER", "db/MANIFEST", `db/${tablesOf(original.path)[0]}`];
  const log = newestSegment(original.path);
  let harmless = 0;
  for (const file of [...files, log]) {
    for (const place of placesIn(`${original.path}/${file}`, random)) {
      const bit = random.below(8);
      const found = await damaged(original.path, (copy) => flip(`${copy}/${file}`, place, bit));
      // Between the frames of a log there is nothing that could become wrong.
      if (file === log && "truth" in found && found.truth === truth) harmless++;
      else {
        const context = `T4_TEST_SEED=${seed}: bit ${bit} at ${place}`;
        const told = expect.stringMatching(new RegExp(`^/${file} is damaged at offset \\d+: `));
        expect({ context, ...found }).toEqual({ context, code: 7, line: told });
      }
    }
  }
  expect(harmless).toBeLessThan(flipsPerFile / 2);
}, 300_000);

/** What else may become of a file, and what is said of it. */
const misfortunes: readonly [string, (directory: string) => void, RegExp][] = [
  [
    "a table that is gone",
    (at) => fs.rmSync(`${at}/db/${tablesOf(at)[0]}`),
    /^\/db\/[0-9a-f]{64}\.sst is damaged at offset 0: .* not there/,
  ],
  [
    "a table cut short",
    (at) => fs.truncateSync(`${at}/db/${tablesOf(at)[0]}`, 5000),
    /^\/db\/[0-9a-f]{64}\.sst is damaged at offset 5000: /,
  ],
  [
    "a manifest that is gone",
    (at) => fs.rmSync(`${at}/db/MANIFEST`),
    /^\/db\/MANIFEST is damaged at offset 0: there are tables .* and no manifest/,
  ],
  [
    "tables that are gone",
    (at) => fs.rmSync(`${at}/db`, { recursive: true }),
    /^\/wal.* entries 1 to \d+ are missing/,
  ],
  [
    "a log that is gone",
    (at) => fs.rmSync(`${at}/wal`, { recursive: true }),
    /^\/wal is damaged at offset 0: entries \d+ to \d+ are missing/,
  ],
];

test.each(misfortunes)(
  "%s is found, and named",
  async (_, damage, told) => {
    using original = temporaryDirectory();
    await sample(original.path);
    const found = await damaged(original.path, damage);
    expect(found).toEqual({ code: 7, line: expect.stringMatching(told) });
  },
  60_000,
);

test("the end of an append that a crash cut off is dropped, and said once", async () => {
  using original = temporaryDirectory();
  const truth = await sample(original.path);
  const log = `${original.path}/${newestSegment(original.path)}`;
  // Of its two sectors the first did not reach the disk.
  fs.appendFileSync(log, Buffer.alloc(700).fill(1, 512));
  for (const cutOffs of [1, 0]) {
    await using t4 = await startT4(original.path);
    expect(await readAll(t4.port)).toBe(truth);
    expect(t4.log.filter(({ msg }) => msg.startsWith("cut off"))).toHaveLength(cutOffs);
    t4.signal("SIGKILL");
    await t4.exited;
  }
}, 60_000);
