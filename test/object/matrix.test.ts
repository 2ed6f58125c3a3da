/**
 * Seven operations x fourteen faults (O1): each cell happens to the real client, over HTTP, and ends
 * as the table says; afterwards the object is what the answer said.
 *
 * The seven are the calls of the store. T4 puts every object in one request, so there is no
 * multipart upload to fail; reading what has changed stands in its place.
 */
import { afterAll, expect, test } from "bun:test";
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { RetryingStore, retryLimits } from "../../src/object/retrying.ts";
import { S3Store } from "../../src/object/s3.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { type S3Fault, S3Server, s3Faults } from "../sim/s3.ts";
import { kindOf } from "./contract.ts";
import { say } from "./rig.ts";

const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
const limits = { ...retryLimits, attemptMs: 250, deadlineMs: 10_000, pauseMsMin: 5 };
const ours = Buffer.from("ours, nonce 1");
const before = Buffer.from("before");

const operations = [
  "put",
  "putIfAbsent",
  "putIfMatch",
  "get",
  "getIfChanged",
  "list",
  "delete",
] as const;
type Operation = (typeof operations)[number];

/** How a call ends: well, or with an error of this kind, or "stale": with what was there before. */
type Ending = "well" | "denied" | "noBucket" | "invalid" | "stale";

/**
 * Each fault happens once, but the two that do not pass by themselves, and 412: to a call without a
 * condition it is no answer at all. Everything else ends well: what was not done is done again, what
 * was done is found out. A stale list cannot be told from a true one: the start-up probe refuses
 * stores that give them, and every other call sees the truth beside it.
 */
function endingOf(operation: Operation, fault: S3Fault): Ending {
  if (fault === "expired") return "denied";
  if (fault === "noBucket") return "noBucket";
  if (fault === "staleList" && operation === "list") return "stale";
  const isConditional = operation === "putIfAbsent" || operation === "putIfMatch";
  return fault === "412" && !isConditional ? "invalid" : "well";
}

/** How often the object is written in the end, at most: duplicates of a plain put are the same bytes. */
const writtenMax: Readonly<Record<Operation, number>> = {
  put: 3,
  putIfAbsent: 1,
  putIfMatch: 1,
  get: 0,
  getIfChanged: 0,
  list: 0,
  delete: 3,
};

const happened: string[] = [];

/** Makes one call while `fault` happens to it; throws when anything is not as it should be. */
async function cell(operation: Operation, fault: S3Fault): Promise<void> {
  const isLasting = fault === "expired" || fault === "noBucket";
  let left = isLasting ? Number.POSITIVE_INFINITY : 1;
  let armed = false;
  using server = new S3Server({
    versioned: true,
    slowMs: 400,
    plan: (request) => (armed && request.operation === operation && left-- > 0 ? fault : undefined),
  });
  const bucket = new S3Store({ bucket: "test", endpoint: server.endpoint, keys });
  const random = new SystemRandom();
  const store = new RetryingStore(bucket, { clock: new SystemClock(), random, limits });
  const tag = await bucket.put("old", before).then(() => bucket.put("there", before));
  armed = true;
  let isRight = true;
  const kind = await kindOf(
    callOf(operation, store, tag).then((answer) => {
      isRight = answer;
    }),
  );
  const ending = kind === "none" ? (isRight ? "well" : "stale") : kind;
  expect([operation, fault, ending]).toEqual([operation, fault, endingOf(operation, fault)]);
  if (fault === "staleList") await expectStale(operation, store);
  await server.settle();
  await expectTruth(operation, fault, server);
  expect(server.happened.get(`${operation} ${fault}`)).toBeGreaterThanOrEqual(1);
  happened.push(`${operation} ${fault}`);
}

/** A list shows what was there before the last write, and nothing else is wrong. */
async function expectStale(operation: Operation, store: ObjectStore): Promise<void> {
  const listed = (await store.list("")).objects.map(({ key }) => key);
  const beforeLast = {
    put: ["old", "there"],
    putIfAbsent: ["old", "there"],
    putIfMatch: ["old", "there"],
    // Of the first puts, before anything went wrong.
    get: ["old"],
    getIfChanged: ["old"],
    list: ["old"],
    // A list shows no key without an object, however stale it is.
    delete: ["old"],
  };
  expect([operation, listed]).toEqual([operation, beforeLast[operation]]);
}

/** Whether the call was answered rightly. */
async function callOf(operation: Operation, store: ObjectStore, tag: string): Promise<boolean> {
  switch (operation) {
    case "put":
      return (await store.put("there", ours)) === (await store.get("there"))?.tag;
    case "putIfAbsent":
      return (await store.putIfAbsent("new", ours)) === (await store.get("new"))?.tag;
    case "putIfMatch":
      return (await store.putIfMatch("there", ours, tag)) === (await store.get("there"))?.tag;
    case "get":
      return (await store.get("there"))?.bytes.equals(before) ?? false;
    case "getIfChanged": {
      const seen = await store.getIfChanged("there", "another");
      return typeof seen === "object" && seen.bytes.equals(before);
    }
    case "list":
      return (await store.list("")).objects.map(({ key }) => key).join() === "old,there";
    case "delete":
      await store.delete("there");
      return (await store.get("there")) === undefined;
  }
}

/** The bucket holds what the answer said: also after what was delayed has happened. */
async function expectTruth(operation: Operation, fault: S3Fault, server: S3Server): Promise<void> {
  const { objects } = server;
  const text = (key: string) => objects.peek(key)?.toString();
  const isDone = endingOf(operation, fault) === "well" || fault === "412";
  const seen = { there: text("there"), new: text("new") };
  const wanted: { there: string | undefined; new: string | undefined } = {
    there: "before",
    new: undefined,
  };
  if (isDone && (operation === "put" || operation === "putIfMatch")) wanted.there = `${ours}`;
  if (isDone && operation === "putIfAbsent") wanted.new = `${ours}`;
  if (isDone && operation === "delete") wanted.there = undefined;
  expect([operation, fault, seen]).toEqual([operation, fault, wanted]);
  const kept = (await objects.versions?.list(""))?.versions ?? [];
  // Two versions are what was there before.
  expect(kept.length - 2).toBeLessThanOrEqual(writtenMax[operation]);
  expectHeaders(operation, server);
}

/** The condition was on the wire, in every try. */
function expectHeaders(operation: Operation, { requests }: S3Server): void {
  // The first two put what was there before.
  const sent = requests.filter(({ method }) => method === "PUT").slice(2);
  for (const { headers } of sent) {
    const conditions = [headers["if-none-match"], headers["if-match"]];
    if (operation === "put") expect(conditions).toEqual([undefined, undefined]);
    if (operation === "putIfAbsent") expect(conditions).toEqual(["*", undefined]);
    if (operation === "putIfMatch") {
      expect(conditions).toEqual([undefined, expect.stringMatching(/^"?[0-9a-f]{64}"?$/)]);
    }
  }
}

for (const operation of operations) {
  test(`${operation} ends as it should, whatever happens to it`, async () => {
    await Promise.all(s3Faults.map((fault) => cell(operation, fault)));
  }, 60_000);
}

afterAll(() => {
  const cells = operations.length * s3Faults.length;
  expect(new Set(happened).size).toBe(cells);
  say(`${happened.length} of ${cells} cells happened`);
});
