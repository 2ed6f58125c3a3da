import { expect, test } from "bun:test";

test("the rules of the protocols and the interoperability cases hold over TLS, too", async () => {
  const child = Bun.spawn(
    [process.execPath, "test", "--timeout=60000", "./test/rpc/conformance", "./test/rpc/interop"],
    { env: { ...process.env, T4_TEST_TLS: "1" }, stdio: ["ignore", "ignore", "pipe"] },
  );
  const report = await child.stderr.text();
  const [, passed] = /^ (\d+) pass$/m.exec(report) ?? [];
  process.stdout.write(`over TLS: ${passed} passed\n`);
  expect(report.split("\n").filter((line) => line.startsWith("(fail)"))).toEqual([]);
  expect(await child.exited).toBe(0);
  expect(Number(passed)).toBeGreaterThan(250);
}, 300_000);
