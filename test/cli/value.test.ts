import { expect, test } from "bun:test";
import {
  address,
  addressText,
  choice,
  duration,
  integer,
  text,
  toggle,
  Unreadable,
  urls,
} from "../../src/cli/value.ts";

test("durations are read as Go prints them", () => {
  const { read } = duration(0);
  const samples = ["0s", "500ms", "5s", "1m30s", "2h", "1.5h", "1h0m0.25s"];
  expect(samples.map(read)).toEqual([0, 500, 5000, 90_000, 7_200_000, 5_400_000, 3_600_250]);
});

test("what is no duration, or out of bounds, is refused", () => {
  const { read } = duration(100);
  for (const sample of ["", "5", "s", "5 s", "-5s", "5s!", "1d", "99ms", "25h", "1e3s", ".5s"]) {
    expect([sample, read(sample)]).toEqual([sample, expect.any(Unreadable)]);
  }
});

test("integers are decimal and within their bounds", () => {
  const { read } = integer("MiB", 1, 1024);
  expect(["1", "50", "1024", "007"].map(read)).toEqual([1, 50, 1024, 7]);
  for (const sample of ["", "0", "1025", "-1", "1.5", "0x10", "1e2", "50 ", "9".repeat(30)]) {
    expect([sample, read(sample)]).toEqual([sample, expect.any(Unreadable)]);
  }
});

test("addresses have a host, or none for all interfaces, and a port", () => {
  const { read } = address();
  expect(read("127.0.0.1:3379")).toEqual({ host: "127.0.0.1", port: 3379 });
  expect(read("db.example:0")).toEqual({ host: "db.example", port: 0 });
  expect(read(":3379")).toEqual({ host: "0.0.0.0", port: 3379 });
  expect(read("[::1]:3379")).toEqual({ host: "::1", port: 3379 });
  for (const sample of [
    "",
    "3379",
    "host",
    "host:",
    "host:65536",
    "::1:3379",
    "http://h:1",
    "h:1/",
  ]) {
    expect([sample, read(sample)]).toEqual([sample, expect.any(Unreadable)]);
  }
});

test("an address is written as it is read", () => {
  for (const sample of ["127.0.0.1:3379", "[::1]:3379"]) {
    const read = address().read(sample);
    expect(read instanceof Unreadable ? "" : addressText(read)).toBe(sample);
  }
});

test("urls are http or https with a port and nothing behind it", () => {
  const { read } = urls();
  expect(read("http://a:1, https://[::1]:2")).toEqual(["http://a:1", "https://[::1]:2"]);
  for (const sample of [
    "",
    "a:1",
    "http://a",
    "ftp://a:1",
    "http://a:1/x",
    "http://a:1,",
    "http://a:1,b",
  ]) {
    expect([sample, read(sample)]).toEqual([sample, expect.any(Unreadable)]);
  }
});

test("words, switches and texts take what they name and nothing else", () => {
  const word = choice(["info", "debug"], { trace: "debug" });
  expect(["info", "debug", "trace"].map(word.read)).toEqual(["info", "debug", "debug"]);
  expect(word.read("INFO")).toEqual(new Unreadable("info or debug"));
  expect(["true", "false", "1", "0", "on", "off", "yes", "no"].map(toggle().read)).toEqual([
    true,
    false,
    true,
    false,
    true,
    false,
    true,
    false,
  ]);
  expect(toggle().read("maybe")).toEqual(new Unreadable("true or false"));
  expect(text("file").read("a b")).toBe("a b");
  expect(text("file").read(" ")).toEqual(new Unreadable("a file"));
});
