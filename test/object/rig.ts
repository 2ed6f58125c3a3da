/** What the tests of the bucket share. */

/** More rounds where time does not matter: T4_TEST_WHOLE=1. */
export const whole = process.env.T4_TEST_WHOLE === "1";

/** Says how much a test has tried. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
