/**
 * `t4 verify` finds nothing in a sound directory, in use or not, and every damage in one that is
 * not: which file, where, and what is in doubt with it. It writes nothing.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fs from "node:fs";
import { KVDefinition, LeaseDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { Client } from "../support/client.ts";
import { type Running, runT4, startT4, temporaryDirectory } from "../support/t4.ts";

const seed = Number(process.env.T4_TEST_SEED ?? 1);
const flipsPerFile = process.env.T4_TEST_WHOLE === "1" ? 60 : 4;
const tailBytes = 36;
const sectorBytes = 512;

interface Verified {
  readonly sound: boolean;
  readonly verified: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly notes: readonly string[];
  readonly damages: readonly Damage[];
}

interface Damage {
  readonly path: string;
  readonly offset: number | null;
  readonly what: string;
  readonly range: string | null;
}

async function verify(directory: string): Promise<{ code: number | null; found: Verified }> {
  const { code, stderr, stdout } = await runT4(["verify", "--data-dir", directory, "--json"]);
  expect(stderr).toBe("");
  return { code, found: JSON.parse(stdout) as Verified };
}

/** Of these sizes a log has several segments, and the oldest of them begins before the tables end. */
const sizes = ["--memtable-mb=3", "--segment-max-size-mb=1"];

/** Writes until there are tables, and such a log. */
async function populate(t4: Running, directory: string): Promise<void> {
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  const { ID: lease } = await client.unary(LeaseDefinition).leaseGrant({ TTL: 10_000 });
  const write = async (number: number) => {
    const value = Buffer.alloc(9000, `value ${number} `);
    const key = Buffer.from(`key ${number % 40}`);
    const { header } = await kv.put({ key, value, lease: number % 9 ? 0n : lease });
    if (number % 11 === 0) await kv.deleteRange({ key: Buffer.from(`key ${number % 7}`) });
    return header?.revision ?? 0;
  };
  for (let round = 1; round < 20 || !isRich(directory); round++) {
    const numbers = Array.from({ length: 10 }, (_, at) => round * 10 + at);
    const revisions = await Promise.all(numbers.map(write));
    if (round === 10) await kv.compact({ revision: Math.min(...revisions) - 30 });
  }
  await kv.put({ key: Buffer.from("last"), value: Buffer.alloc(3000, "last") });
  client.close();
}

function isRich(directory: string): boolean {
  const segments = segmentsOf(directory);
  const [, first] = /(\d{20})/.exec(segments[0] ?? "") ?? [];
  const manifest = fs.readFileSync(`${directory}/db/MANIFEST`, "utf8").split("\n")[0] ?? "";
  const applied = JSON.parse(manifest).position?.index ?? 0;
  return tablesOf(directory).length >= 2 && segments.length >= 3 && Number(first) + 10 < applied;
}

function namesIn(directory: string, part: string, suffix: string): string[] {
  const names = fs.readdirSync(`${directory}/${part}`).sort();
  return names.filter((name) => name.endsWith(suffix)).map((name) => `${part}/${name}`);
}

function tablesOf(directory: string): string[] {
  return namesIn(directory, "db", ".sst");
}

function segmentsOf(directory: string): string[] {
  return namesIn(directory, "wal", ".wal");
}

/** Makes a directory that a killed member left. */
async function makeSample(directory: string): Promise<void> {
  do {
    await using t4 = await startT4(directory, sizes);
    await populate(t4, directory);
    t4.signal("SIGKILL");
    await t4.exited;
    // What it was flushing when it was looked at may have been done before it died.
  } while (!isRich(directory));
}

const kept = temporaryDirectory();
const sample = `${kept.path}/data`;
beforeAll(() => makeSample(sample), 60_000);
afterAll(() => kept[Symbol.dispose]());

/** What is found after something has become of a copy of the sample; paths are relative to it. */
async function damaged(damage: (directory: string) => void) {
  using copy = temporaryDirectory();
  fs.cpSync(sample, copy.path, { recursive: true });
  damage(copy.path);
  const { code, found } = await verify(copy.path);
  const damages = found.damages.map((each) => {
    return { ...each, path: each.path.replace(`${copy.path}/`, "") };
  });
  return { code, damages, notes: found.notes };
}

function flip(file: string, at: number, bit: number): void {
  const bytes = fs.readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  fs.writeFileSync(file, bytes);
}

/** Everything below a directory: names, sizes, times. */
function listing(directory: string): string[] {
  const names = fs.readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  return names.map((name) => {
    const { mtimeMs, size } = fs.statSync(`${directory}/${name}`);
    return `${name} ${size} ${mtimeMs}`;
  });
}

test("a sound directory is sound while its member runs, writes and is dead", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path, sizes);
  await populate(t4, directory.path);
  let isOver = false;
  const write = async () => {
    const client = new Client(t4.port);
    const kv = client.unary(KVDefinition);
    const random = new SeededRandom(seed);
    while (!isOver) {
      const key = Buffer.from(`key ${random.below(100)}`);
      const { header } = await kv.put({ key, value: Buffer.alloc(random.below(9000), "x") });
      const revision = (header?.revision ?? 0) - 100;
      if (random.below(50) === 0) await kv.compact({ revision }).catch(() => undefined);
    }
    client.close();
  };
  const writers = Promise.all([write(), write(), write()]);
  for (let look = 0; look < 3; look++) {
    const { code, found } = await verify(directory.path);
    expect({ code, damages: found.damages }).toEqual({ code: 0, damages: [] });
  }
  isOver = true;
  await writers;
  t4.signal("SIGKILL");
  await t4.exited;
  const before = listing(directory.path);
  const { code, found } = await verify(directory.path);
  expect({ code, found }).toEqual({
    code: 0,
    found: expect.objectContaining({ sound: true, damages: [], notes: [] }),
  });
  expect(found.verified).toMatchObject({
    tables: { files: tablesOf(directory.path).length },
    log: { files: segmentsOf(directory.path).length },
    database: { leases: 1, keys: expect.any(Number) },
  });
  expect(listing(directory.path)).toEqual(before);
}, 60_000);

test("one flipped bit in any kind of file is found, and named", async () => {
  const random: Random = new SeededRandom(seed);
  const [table = ""] = tablesOf(sample);
  const segments = segmentsOf(sample);
  const files = ["MEMBER", "db/MANIFEST", table, segments[0] ?? "", segments.at(-1) ?? ""];
  let flips = 0;
  let harmless = 0;
  for (const file of files) {
    const { size } = fs.statSync(`${sample}/${file}`);
    for (let round = 0; round < flipsPerFile; round++) {
      const place = [0, size - 1][round] ?? random.below(size);
      const bit = random.below(8);
      const found = await damaged((copy) => flip(`${copy}/${file}`, place, bit));
      flips++;
      // Between the end of a frame's entries and its last sector's end nothing is written.
      if (file.startsWith("wal/") && found.code === 0) harmless++;
      else {
        const context = `T4_TEST_SEED=${seed}: ${file}, bit ${bit} at ${place}`;
        const paths = found.damages.map(({ path }) => path);
        expect({ context, code: found.code, named: paths.includes(file) }).toEqual({
          context,
          code: 7,
          named: true,
        });
      }
    }
  }
  process.stdout.write(`${flips} flips, ${harmless} of them where nothing is written\n`);
  expect(harmless).toBeLessThan(flips / 4);
}, 300_000);

/** Where a frame begins whose payload fills several sectors, in a segment. */
function longFrameIn(file: string): number {
  const bytes = fs.readFileSync(file);
  for (let at = sectorBytes; at < bytes.length; ) {
    const payload = bytes.readUInt32LE(at);
    if (payload > 4 * sectorBytes) return at;
    at += Math.ceil((32 + payload) / sectorBytes) * sectorBytes;
  }
  throw new Error(`${file} has no long frame`);
}

/** What may become of a directory, the file that is named, and what is said of it. */
const misfortunes: readonly [string, (at: string) => void, RegExp, RegExp, RegExp | null][] = [
  [
    "an identity",
    (at) => flip(`${at}/MEMBER`, 20, 1),
    /^MEMBER$/,
    /does not hold a member's identity/,
    null,
  ],
  [
    "a manifest",
    (at) => flip(`${at}/db/MANIFEST`, 30, 1),
    /^db\/MANIFEST$/,
    /checksum is wrong/,
    null,
  ],
  [
    "a manifest that is gone",
    (at) => fs.rmSync(`${at}/db/MANIFEST`),
    /^db\/MANIFEST$/,
    /there are tables .* and no manifest/,
    null,
  ],
  [
    "a block of a table",
    (at) => flip(`${at}/${tablesOf(at)[0]}`, 100, 1),
    /^db\/[0-9a-f]{64}\.sst$/,
    /a block has a wrong checksum/,
    /^key "key \d+"( to key "key \d+")?$/,
  ],
  [
    "the index of a table",
    (at) => {
      const file = `${at}/${tablesOf(at)[0]}`;
      flip(file, fs.statSync(file).size - tailBytes - 400, 1);
    },
    /^db\/[0-9a-f]{64}\.sst$/,
    /index, filter or info are damaged/,
    /^key "key \d+" to /,
  ],
  [
    "a table that is gone",
    (at) => fs.rmSync(`${at}/${tablesOf(at)[0]}`),
    /^db\/[0-9a-f]{64}\.sst$/,
    /the manifest names this table and it is not there/,
    /^key "key \d+" to /,
  ],
  [
    "a table cut short",
    (at) => fs.truncateSync(`${at}/${tablesOf(at)[0]}`, 5000),
    /^db\/[0-9a-f]{64}\.sst$/,
    /the file has 5000 bytes where the manifest says \d+/,
    /^key "key \d+" to /,
  ],
  [
    "the header of a segment",
    (at) => flip(`${at}/${segmentsOf(at)[1]}`, 30, 1),
    /^wal\/\d{20}-\d{10}\.wal$/,
    /does not begin with a segment header/,
    /^entries \d+ to \d+$/,
  ],
  [
    "the header of a frame",
    (at) => {
      const file = `${at}/${segmentsOf(at)[1]}`;
      flip(file, longFrameIn(file) + 9, 1);
    },
    /^wal\/\d{20}-\d{10}\.wal$/,
    /there is no frame header/,
    /^entr(y|ies) \d+/,
  ],
  [
    "the content of a frame",
    (at) => {
      const file = `${at}/${segmentsOf(at)[0]}`;
      flip(file, longFrameIn(file) + 3 * sectorBytes, 1);
    },
    /^wal\/\d{20}-\d{10}\.wal$/,
    /a frame's checksum does not match/,
    /^entr(y|ies) \d+/,
  ],
  [
    "a segment that is gone",
    (at) => fs.rmSync(`${at}/${segmentsOf(at)[1]}`),
    /^wal\/\d{20}-\d{10}\.wal$/,
    /entries \d+ to \d+ are missing: the next segment begins at entry \d+/,
    /^entries \d+ to \d+$/,
  ],
  [
    "a log that is gone",
    (at) => fs.rmSync(`${at}/wal`, { recursive: true }),
    /^wal$/,
    /entries 1 to \d+ are missing: there is no segment/,
    /^entries 1 to \d+$/,
  ],
  [
    "a log that ends before the tables",
    (at) => {
      for (const segment of segmentsOf(at).slice(1)) fs.rmSync(`${at}/${segment}`);
      const file = `${at}/${segmentsOf(at)[0]}`;
      fs.truncateSync(file, longFrameIn(file));
    },
    /^wal\/\d{20}-\d{10}\.wal$/,
    /entries \d+ to \d+ are missing: the log ends with entry \d+, the tables with \d+/,
    /^entries \d+ to \d+$/,
  ],
  [
    "tables that are gone",
    (at) => fs.rmSync(`${at}/db`, { recursive: true }),
    /^wal$/,
    /entries 1 to \d+ are missing: the log begins at entry \d+/,
    /^entries 1 to \d+$/,
  ],
];

test("each kind of damage is told with its file, its place and what is in doubt", async () => {
  for (const [name, damage, file, what, range] of misfortunes) {
    const { code, damages } = await damaged(damage);
    const told = damages.find((each) => what.test(each.what));
    const isPlace = told?.offset !== null;
    expect({ name, code, damages, told }).toEqual({
      name,
      code: 7,
      damages,
      told: {
        path: expect.stringMatching(file),
        offset: isPlace ? expect.any(Number) : null,
        what: expect.stringMatching(what),
        range: range === null ? null : expect.stringMatching(range),
      },
    });
  }
}, 60_000);

test("damage in several places is all found, in words as in JSON", async () => {
  using copy = temporaryDirectory();
  fs.cpSync(sample, copy.path, { recursive: true });
  const [table = "", , ...others] = tablesOf(copy.path);
  const [oldest = "", newer = ""] = segmentsOf(copy.path);
  for (const file of [table, ...others]) flip(`${copy.path}/${file}`, 50, 3);
  flip(`${copy.path}/${oldest}`, longFrameIn(`${copy.path}/${oldest}`) + 9, 1);
  flip(`${copy.path}/${newer}`, 20, 1);
  const { code, found } = await verify(copy.path);
  expect(code).toBe(7);
  const places = new Set(found.damages.map(({ path }) => path.replace(`${copy.path}/`, "")));
  expect([...places].sort()).toEqual([table, ...others, oldest, newer].sort());
  const text = await runT4(["verify", "--data-dir", copy.path]);
  expect(text).toMatchObject({ code: 7, stderr: "" });
  expect(text.stdout).toStartWith(`VERIFIED  ${copy.path}\n`);
  expect(text.stdout).toEndWith(`Damaged in ${found.damages.length} place(s)\n`);
  for (const path of places) {
    expect(text.stdout).toMatch(new RegExp(`\n${copy.path}/${path} at offset \\d+: .* \\(.*\\)\n`));
  }
});

test("an append that was cut off is a note, and no damage; room that was not used is neither", async () => {
  const newest = segmentsOf(sample).at(-1) ?? "";
  const append = (bytes: Buffer) =>
    damaged((copy) => fs.appendFileSync(`${copy}/${newest}`, bytes));
  expect(await append(Buffer.alloc(700).fill(1, 512))).toMatchObject({
    code: 0,
    damages: [],
    notes: [expect.stringContaining("700 bytes of an append that was interrupted")],
  });
  expect(await append(Buffer.alloc(700))).toMatchObject({ code: 0, damages: [], notes: [] });
});

test("a place without a database is refused", async () => {
  using directory = temporaryDirectory();
  const at = `${directory.path}/none`;
  expect(await runT4(["verify", "--data-dir", at])).toEqual({
    code: 78,
    stdout: "",
    stderr: `t4: ${at} does not exist; choose another --data-dir\n`,
  });
});
