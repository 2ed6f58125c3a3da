import { expect, test } from "bun:test";
import { Pace } from "../../src/wal/pace.ts";

test("a device is waited for as long as it is quick, on the average", () => {
  const pace = new Pace();
  expect(pace.isQuick(1)).toBe(true);
  for (let at = 0; at < 100; at++) pace.took(at % 10 === 0 ? 3 : 0.1);
  expect(pace.isQuick(1)).toBe(true);
  for (let at = 0; at < 10; at++) pace.took(2);
  expect(pace.isQuick(1)).toBe(false);
});

test("a device may be quick enough for one and too slow for another", () => {
  const pace = new Pace();
  for (let at = 0; at < 10; at++) pace.took(0.7);
  expect(pace.isQuick(1)).toBe(true);
  expect(pace.isQuick(0.5)).toBe(false);
});

test("after the first sync it is known to be slow, and tried again after a hundred elsewhere", () => {
  const pace = new Pace();
  for (let round = 0; round < 5; round++) {
    pace.took(5);
    for (let at = 0; at < 100; at++) {
      expect(pace.isQuick(1)).toBe(false);
      pace.passed();
    }
    expect(pace.isQuick(1)).toBe(true);
  }
});

test("nothing is quick enough where no time may be taken", () => {
  const pace = new Pace();
  expect(pace.isQuick(-1)).toBe(false);
  pace.took(0);
  expect(pace.isQuick(-1)).toBe(false);
});
