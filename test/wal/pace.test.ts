import { expect, test } from "bun:test";
import { Pace } from "../../src/wal/pace.ts";

test("a device is waited for until it is slow, and again after a hundred quick syncs", () => {
  const pace = new Pace();
  for (let at = 0; at < 10; at++) pace.took(0.9);
  expect(pace.isQuick).toBe(true);
  pace.took(1.1);
  for (let at = 0; at < 99; at++) {
    pace.took(0.1);
    expect(pace.isQuick).toBe(false);
  }
  pace.took(0.1);
  expect(pace.isQuick).toBe(true);
});

test("a device that is slow now and then is not waited for", () => {
  const pace = new Pace();
  for (let at = 0; at < 1000; at++) {
    pace.took(at % 50 === 0 ? 20 : 0.1);
    expect(pace.isQuick).toBe(false);
  }
});
