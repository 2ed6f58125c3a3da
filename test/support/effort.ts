/**
 * How much random tests try, and how one that failed is tried again:
 *
 *   T4_TEST_BRIEF=1   the fewest seeds: `bun run check`
 *   T4_TEST_WHOLE=1   the most: `bun run test --whole`
 *   T4_TEST_SEED=7    this seed and no other
 */
import { relative } from "node:path";

export const brief = process.env.T4_TEST_BRIEF === "1";
export const whole = process.env.T4_TEST_WHOLE === "1";
const only = process.env.T4_TEST_SEED;

/** The amount for the effort that is asked for: `usual`, unless it is to be brief or whole. */
export function amount(usual: number, inBrief: number, inWhole: number): number {
  if (whole) return inWhole;
  return brief ? inBrief : usual;
}

/** Seeds from 1 to `count`; the one that T4_TEST_SEED names instead, if it names one. */
export function seedsUpTo(count: number): readonly number[] {
  return seedsOr(Array.from({ length: count }, (_, at) => at + 1));
}

/** These seeds; the one that T4_TEST_SEED names instead, if it names one. */
export function seedsOr(seeds: readonly number[]): readonly number[] {
  return only === undefined ? seeds : [Number(only)];
}

/** Tries one seed after the other. A failure tells the seed, and the command that runs it alone. */
export async function tryEach(
  seeds: readonly number[],
  testPath: string,
  one: (seed: number) => Promise<void>,
): Promise<void> {
  for (const seed of seeds) {
    try {
      await one(seed);
    } catch (error) {
      throw failureOf(seed, testPath, error);
    }
  }
}

/** An error that tells what failed with a seed, and how to run the test with that seed again. */
export function failureOf(seed: number, testPath: string, error: unknown): Error {
  const why = error instanceof Error ? error.message : `${error}`;
  const effort = whole ? "T4_TEST_WHOLE=1 " : "";
  const command = `${effort}T4_TEST_SEED=${seed} bun test ./${relative(process.cwd(), testPath)}`;
  return new Error(`seed ${seed}: ${why}\nagain: ${command}`, { cause: error });
}

/** Says how much a test has tried. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
