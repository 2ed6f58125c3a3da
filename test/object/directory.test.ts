import { expect, test } from "bun:test";
import fs from "node:fs";
import { SystemClock } from "../../src/lib/clock.ts";
import { lockDescriptor } from "../../src/lib/posix.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { DirectoryStore } from "../../src/object/directory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { temporaryDirectory } from "../support/t4.ts";
import { keysOf, kindOf, objectContract } from "./contract.ts";

const environment = { clock: new SystemClock(), random: new SystemRandom() };

function open(path: string): DirectoryStore {
  return new DirectoryStore({ path, ...environment });
}

objectContract("directory", () => {
  const directory = temporaryDirectory();
  return { store: open(`${directory.path}/bucket`), done: () => directory[Symbol.dispose]() };
});

objectContract("directory in small pages", () => {
  const directory = temporaryDirectory();
  const store = new DirectoryStore({ path: directory.path, pageKeysMax: 100, ...environment });
  return { store: withPrefix(store, "db"), done: () => directory[Symbol.dispose]() };
});

function files(path: string): string[] {
  return fs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
}
