/** Data directories that nobody would wish for: half-made, read-only, out of reach. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { Client } from "../support/client.ts";
import { binary, runT4, startT4, temporaryDirectory } from "../support/t4.ts";
import { mountVolume } from "../support/volume.ts";

const key = Buffer.from("key");

/** Starts on a directory, puts a value, reads what was there before; kills it. */
async function use(directory: string, value: string): Promise<string | undefined> {
  await using t4 = await startT4(directory);
  const client = new Client(t4.port);
  const kv = client.unary(KVDefinition);
  const { kvs } = await kv.range({ key });
  await kv.put({ key, value: Buffer.from(value) });
  client.close();
  return kvs[0] && Buffer.from(kvs[0].value).toString();
}

/** Runs on a directory it cannot use; the code and the line it ended with. */
async function refuse(directory: string, through?: readonly string[]) {
  const ports = ["--listen=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"];
  const options = through === undefined ? {} : { through };
  const { code, stderr } = await runT4(["run", "--data-dir", directory, ...ports], options);
  expect(stderr.trimEnd()).not.toContain("\n");
  return { code, stderr };
}

/** What a crash may leave behind while the directory is made, from the first step on. */
const interrupted: Readonly<Record<string, (path: string) => void>> = {
  "an empty directory": () => undefined,
  "a lock": (path) => fs.writeFileSync(`${path}/LOCK`, ""),
  "half an identity": (path) => {
    fs.writeFileSync(`${path}/LOCK`, "");
    fs.writeFileSync(`${path}/MEMBER.tmp`, '{"format_ver');
  },
  "what a file system puts there": (path) => fs.mkdirSync(`${path}/lost+found`),
};

test.each(Object.keys(interrupted))("%s is enough to begin with", async (name) => {
  using directory = temporaryDirectory();
  interrupted[name]?.(directory.path);
  expect(await use(directory.path, "one")).toBeUndefined();
  expect(await use(directory.path, "two")).toBe("one");
});

test("a directory is made with its parents", async () => {
  using directory = temporaryDirectory();
  expect(await use(`${directory.path}/a/b/c`, "one")).toBeUndefined();
  expect(fs.statSync(`${directory.path}/a/b/c`).mode & 0o777).toBe(0o700);
});

test("an identity without log and tables starts empty, half-made files are removed", async () => {
  using directory = temporaryDirectory();
  const at = (name: string) => `${directory.path}/${name}`;
  await use(directory.path, "gone");
  for (const part of ["wal", "db"]) fs.rmSync(at(part), { recursive: true });
  expect(await use(directory.path, "one")).toBeUndefined();
  const halfMade = ["wal/00000000000000000009-0000000009.wal.tmp", "db/MANIFEST.tmp", "db/3.tmp"];
  for (const name of halfMade) fs.writeFileSync(at(name), "half");
  expect(await use(directory.path, "two")).toBe("one");
  expect(halfMade.filter((name) => fs.existsSync(at(name)))).toEqual([]);
});

test("a read-only file system is refused by name", async () => {
  await using volume = await mountVolume(16);
  await use(`${volume.path}/data`, "one");
  await volume.makeReadOnly();
  for (const name of ["data", "new"]) {
    const { code, stderr } = await refuse(`${volume.path}/${name}`);
    expect([code, stderr]).toEqual([73, expect.stringContaining(`${volume.path}/${name}`)]);
    expect(stderr).toContain("the file system is read-only");
  }
});

/** Runs the binary as a user who may do less: root steps down to nobody. */
function asNobody(): Disposable & { readonly through: readonly string[] | undefined } {
  if (process.getuid?.() !== 0) return { through: undefined, [Symbol.dispose]: () => undefined };
  const reachable = temporaryDirectory();
  fs.chmodSync(reachable.path, 0o755);
  const copy = `${reachable.path}/t4`;
  fs.copyFileSync(binary, copy, fs.constants.COPYFILE_FICLONE);
  const through = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy];
  return { through, [Symbol.dispose]: () => reachable[Symbol.dispose]() };
}

test("what a user may not use is refused by name", async () => {
  using directory = temporaryDirectory();
  using nobody = asNobody();
  const made = `${directory.path}/made`;
  await use(made, "one");
  fs.chmodSync(made, 0);
  fs.chmodSync(directory.path, 0o555);
  for (const path of [made, `${directory.path}/new`]) {
    const { code, stderr } = await refuse(path, nobody.through);
    expect([path, code, stderr]).toEqual([path, 77, expect.stringContaining(path)]);
    expect(stderr).toContain("permission denied");
  }
  fs.chmodSync(directory.path, 0o755);
  fs.chmodSync(made, 0o700);
  expect(await use(made, "two")).toBe("one");
});

test("a directory in use is in use under every name", async () => {
  using directory = temporaryDirectory();
  fs.symlinkSync(directory.path, `${directory.path}.link`);
  try {
    await using _ = await startT4(directory.path);
    const { code, stderr } = await refuse(`${directory.path}.link`);
    expect([code, stderr]).toEqual([
      75,
      expect.stringContaining(`${directory.path}.link is in use`),
    ]);
  } finally {
    fs.rmSync(`${directory.path}.link`);
  }
});

test("a part of a data directory is not a data directory", async () => {
  using directory = temporaryDirectory();
  await use(`${directory.path}/data`, "one");
  const { code, stderr } = await refuse(`${directory.path}/data/db`);
  expect([code, stderr]).toEqual([78, expect.stringContaining("is not a T4 data directory")]);
  expect(await use(`${directory.path}/data`, "two")).toBe("one");
});
