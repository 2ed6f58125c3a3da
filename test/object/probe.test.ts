import { expect, test } from "bun:test";
import { SystemClock } from "../../src/lib/clock.ts";
import { SeededRandom, SystemRandom } from "../../src/lib/random.ts";
import { DirectoryStore } from "../../src/object/directory.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { NonconformingError, probe, requireConforming } from "../../src/object/probe.ts";
import { S3Store } from "../../src/object/s3.ts";
import { ObjectError, type ObjectStore } from "../../src/object/store.ts";
import { S3Server } from "../sim/s3.ts";
import { chance, FaultyStore } from "../sim/store.ts";
import { temporaryDirectory } from "../support/t4.ts";
import { fakes } from "./fakes.ts";
import { say } from "./rig.ts";

const clock = new SystemClock();
const random = new SystemRandom();
const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };

async function failures(store: ObjectStore): Promise<string[]> {
  const findings = await probe(store, { clock, random });
  return findings.filter(({ ok }) => !ok).map(({ check }) => check);
}

function refusalOf(work: () => void): string {
  try {
    work();
  } catch (error) {
    if (error instanceof NonconformingError) return error.message;
    throw error;
  }
  return "accepted";
}

test("a store that keeps its promises passes every check, and nothing is left behind", async () => {
  using directory = temporaryDirectory();
  using server = new S3Server();
  const memory = new MemoryStore();
  const s3 = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
  const stores = [
    withPrefix(memory, "db"),
    new DirectoryStore({ path: directory.path, clock, random }),
    withPrefix(s3, "db"),
  ];
  for (const store of stores) {
    const start = clock.now();
    const findings = await probe(store, { clock, random });
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(findings.length).toBe(9);
    expect(refusalOf(() => requireConforming(findings, store.address))).toBe("accepted");
    expect((await store.list("")).objects).toEqual([]);
    say(`probe of ${store.address}: ${Math.round(clock.now() - start)} ms`);
  }
});

test("every store that breaks a promise is refused by the name of it", async () => {
  for (const { foundBy, make, name } of fakes) {
    const store = make();
    const findings = await probe(withPrefix(store, "db"), { clock, random });
    const failed = findings.filter(({ ok }) => !ok).map(({ check }) => check);
    expect([name, failed]).toEqual([name, expect.arrayContaining([...foundBy])]);
    const refusal = refusalOf(() => requireConforming(findings, "s3://bucket/db/"));
    expect([name, refusal]).toEqual([name, expect.stringContaining(`the check "${failed[0]}"`)]);
    expect(refusal).toStartWith("s3://bucket/db/ cannot be used: ");
  }
  say(`${fakes.length} stores refused`);
});

test("an S3 server that ignores conditions is refused", async () => {
  using server = new S3Server({ ignoresConditions: true });
  const store = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
  expect(await failures(store)).toContain("put-if-absent refuses a second writer");
});

test("an S3 server that wants tags without quotes passes, and is remembered for it", async () => {
  using server = new S3Server({ wantsBareTags: true });
  const store = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
  expect(await failures(store)).toEqual([]);
  const tag = await store.put("k", Buffer.from("one"));
  const before = server.requests.length;
  expect(await store.putIfMatch("k", Buffer.from("two"), tag)).toBeString();
  const sent = server.requests.slice(before).map(({ headers }) => headers["if-match"]);
  expect(sent).toEqual([tag]);
});

test("a store that asks for patience, loses answers or says 409 is asked again, and passes", async () => {
  const faults = ["503", "500", "409", "timeoutAfter"] as const;
  for (const fault of faults) {
    let left = 5;
    using server = new S3Server({
      // Deletions are not part of a check's patience: what is left is swept.
      plan: ({ operation }) => (operation !== "delete" && left-- > 0 ? fault : undefined),
    });
    const s3 = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
    const patient = fault === "timeoutAfter" ? givingUp(s3, 300) : s3;
    expect([fault, await failures(patient)]).toEqual([fault, []]);
  }
});

test("a store that cannot be asked is not judged", async () => {
  using server = new S3Server({ plan: () => "expired" });
  const s3 = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
  await expect(probe(s3, { clock, random })).rejects.toMatchObject({ kind: "denied" });
  using elsewhere = new S3Server({ bucket: "another" });
  const lost = new S3Store({ bucket: "test", endpoint: elsewhere.endpoint, keys });
  await expect(probe(lost, { clock, random })).rejects.toMatchObject({
    kind: "noBucket",
    message: expect.stringContaining("make the bucket test at http://127.0.0.1"),
  });
});

/** The same store for somebody who waits no longer than `milliseconds`. */
function givingUp(store: ObjectStore, milliseconds: number): ObjectStore {
  const late = async () => {
    await Bun.sleep(milliseconds);
    throw new ObjectError("unknown", "call", "", "given up");
  };
  return new Proxy(store, {
    get: (target, name) => {
      const member = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => Promise.race([member.apply(target, args), late()]);
    },
  });
}

test("a store that keeps its promises and fails one call in five is not refused", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = new SeededRandom(seed);
    const plan = chance(random, 5, ["lost", "timeout", "throttled", "conflict", "again"]);
    const store = new FaultyStore(new MemoryStore(), { plan });
    // Pauses are over at once, deadlines never come.
    const sleep = (ms: number) =>
      ms < 10_000 ? Promise.resolve() : Promise.withResolvers<void>().promise;
    const findings = await probe(store, { clock: { sleep }, random });
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
  }
});
