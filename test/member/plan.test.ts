import { expect, test } from "bun:test";
import { type Facts, matches, rowOf, rows } from "../../src/member/plan.ts";

/** Every combination of facts that can be found. */
function* possible(): Generator<Facts> {
  const flags = [false, true];
  for (const directory of ["new", "empty", "data"] as const)
    for (const bound of flags)
      for (const bucket of ["none", "blank", "begun", "claimed", "led", "lost"] as const)
        for (const same of flags)
          for (const s3 of flags)
            for (const listed of flags)
              for (const branch of flags) {
                const facts = { directory, bound, bucket, same, s3, listed, branch };
                if (isPossible(facts)) yield facts;
              }
}

/** A new directory has no cluster and no note; a column about a lock needs a lock. */
function isPossible({ bound, bucket, directory, listed, s3, same }: Facts): boolean {
  if (directory === "new" && (same || listed || bound)) return false;
  const isLocked = bucket === "led" || bucket === "claimed";
  if (!isLocked && (s3 || listed)) return false;
  if (!isLocked && bucket !== "begun" && same) return false;
  // A member of the set is of the cluster.
  return !listed || same;
}

test("exactly one row is about whatever may be found", () => {
  let count = 0;
  for (const facts of possible()) {
    const names = rows.filter((row) => matches(row, facts)).map(({ name }) => name);
    expect([facts, names.length]).toEqual([facts, 1]);
    count++;
  }
  expect(count).toBe(152);
});

test("every row is about something", () => {
  const met = new Set([...possible()].map((facts) => rowOf(facts).name));
  expect([...met].sort()).toEqual(rows.map(({ name }) => name).sort());
});

test("whoever may lead with its own log is recorded, and nobody replays a bucket that is no member", () => {
  for (const facts of possible()) {
    const { plan } = rowOf(facts);
    if (plan === "with its own log") expect([facts.listed, facts.s3]).toEqual([true, false]);
    if (plan === "through the bucket") expect(facts.s3).toBe(true);
  }
});

test("data is never replaced: it is used, brought, or refused", () => {
  for (const facts of possible()) {
    if (facts.directory !== "data") continue;
    const { plan } = rowOf(facts);
    expect(["create", "branch", "resume"]).not.toContain(plan);
    if (plan === "through the bucket") expect(facts.same).toBe(true);
  }
});
