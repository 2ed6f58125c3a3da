/** Damaged files are found out, or do not matter: no read ever gives a wrong answer. */
import { expect, test } from "bun:test";
import { bytesOf, orderedU32 } from "../../src/lib/bytes.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import type { Tree } from "../../src/lsm/tree.ts";
import { SimDisk } from "../sim/disk.ts";
import { brief, say } from "../support/effort.ts";
import { versionKey } from "./model.ts";
import { openTree, type Position, textOf, tinyLimits, valueText } from "./rig.ts";

type Files = ReadonlyMap<string, Buffer>;

const options = { limits: { ...tinyLimits, tableBytesMax: 2 ** 20 } };

/** The files of a small tree: a table of each lane, one manifest. */
async function makeFiles(): Promise<Files> {
  const disk = new SimDisk();
  const tree = await openTree(disk, options);
  for (let at = 0; at < 20; at++) {
    tree.put(`p${orderedU32(at * 1000)}`, bytesOf("value ".repeat(at % 7)));
    tree.put(versionKey(`v${at % 4}`, at), bytesOf(`version ${at}`));
    if (at % 5 === 0) tree.delete(`q${at}`);
  }
  tree.seal({ at: 7 });
  await tree.flushed();
  await tree.close();
  return new Map(disk.paths().map((path) => [path, Buffer.from(disk.peek(path))]));
}

/** Everything a tree with these files tells, or the error it refuses with. */
async function tell(files: Files): Promise<Map<string, string>> {
  const disk = new SimDisk();
  for (const [path, bytes] of files) disk.plant(path, bytes);
  const answers = new Map<string, string>();
  const ask = (question: string, answer: () => string) => {
    try {
      answers.set(question, answer());
    } catch (error) {
      if (!isRefusal(error)) throw error;
      answers.set(question, "refused");
    }
  };
  let tree: Tree<Position>;
  try {
    tree = await openTree(disk, options);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return answers;
  }
  ask("durable", () => JSON.stringify(tree.durable));
  ask("scan", () => {
    const found: string[] = [];
    for (const rows = tree.scan(""); rows.next(); ) found.push(rows.key, textOf(rows.value()));
    return JSON.stringify(found);
  });
  for (let at = 0; at < 21; at++) {
    for (const key of [`p${orderedU32(at * 1000)}`, versionKey(`v${at % 4}`, at), `q${at}`]) {
      ask(`get ${key}`, () => textOf(tree.get(key) ?? bytesOf("nothing")));
    }
    ask(`first ${at}`, () => {
      const row = tree.first(versionKey(`v${at % 5}`, at), 3);
      return row === undefined ? "nothing" : `${row.key} ${valueText(row)}`;
    });
  }
  await tree.close();
  return answers;
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof CorruptionError || error instanceof ForeignError)) return false;
  expect(error.message).toContain(error.path);
  if (error instanceof CorruptionError) expect(error.offset).toBeGreaterThanOrEqual(0);
  return true;
}

/** Tries every damaged version of every file; each answer must be the true one, or a refusal. */
async function tryAll(files: Files, damage: (bytes: Buffer) => Iterable<Buffer>): Promise<number> {
  const truth = await tell(files);
  expect(truth.size).toBeGreaterThan(50);
  let tried = 0;
  let refused = 0;
  for (const [path, bytes] of files) {
    for (const damaged of damage(bytes)) {
      const answers = await tell(new Map([...files, [path, damaged]]));
      tried++;
      if (answers.size === 0) refused++;
      for (const [question, answer] of answers) {
        if (answer === "refused") refused++;
        else expect([question, answer]).toEqual([question, truth.get(question) ?? ""]);
      }
    }
  }
  // All of it is guarded: there is no byte that nobody would miss.
  expect(refused).toBeGreaterThanOrEqual(tried);
  return tried;
}

test("every byte of a table and a manifest, flipped, is refused or does no harm", async () => {
  const files = await makeFiles();
  expect(files.size).toBe(3);
  const tried = await tryAll(files, function* (bytes) {
    for (let at = 0; at < bytes.length; at++) {
      const was = bytes[at] as number;
      const flipped = was ^ (1 << (at % 8));
      for (const byte of brief ? [flipped] : [flipped, was ^ 0xff, 0]) {
        if (byte === was) continue;
        const damaged = Buffer.from(bytes);
        damaged[at] = byte;
        yield damaged;
      }
    }
  });
  say(`${tried} flips`);
}, 60_000);

test("a table or a manifest cut anywhere, or too long, is refused", async () => {
  const tried = await tryAll(await makeFiles(), function* (bytes) {
    for (let length = 0; length < bytes.length; length++) yield bytes.subarray(0, length);
    yield Buffer.concat([bytes, Buffer.alloc(1)]);
    yield Buffer.concat([bytes, bytes]);
  });
  say(`${tried} lengths`);
}, 60_000);

test("a file that the manifest names and that is gone is refused by name", async () => {
  const files = await makeFiles();
  for (const path of files.keys()) {
    const rest = new Map([...files].filter(([each]) => each !== path));
    expect(await tell(rest)).toEqual(new Map());
  }
});
