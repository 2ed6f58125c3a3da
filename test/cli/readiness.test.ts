import { expect, test } from "bun:test";
import { Start } from "../../src/cli/readiness.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { SimClock } from "../sim/clock.ts";

function start() {
  const clock = new SimClock(0);
  const lines: string[] = [];
  const logger = createLogger({
    level: "info",
    format: "text",
    wall: () => clock.wall(),
    write: (line) => lines.push(line.trimEnd()),
  });
  return { clock, lines, start: new Start(clock, logger) };
}

test("a start is at one step, with counts where there are any, until it is ready", () => {
  const { start: it } = start();
  expect(it.readiness).toEqual({ ready: false, step: "starting" });
  it.at("replaying the log", { done: 1, total: 3 });
  expect(it.readiness).toEqual({ ready: false, step: "replaying the log", done: 1, total: 3 });
  it.at("beginning a term", { done: 0, total: 0 });
  expect(it.readiness).toEqual({ ready: false, step: "beginning a term" });
  it.ready();
  expect(it.readiness).toEqual({ ready: true, step: "serving" });
});

test("a long step is logged once a second with counts and rate, a short one not at all", async () => {
  const { clock, lines, start: it } = start();
  it.at("opening the tables");
  it.at("replaying the log", { done: 0, total: 1000 });
  await clock.advance(600);
  it.at("replaying the log", { done: 300, total: 1000 });
  expect(lines).toEqual([]);
  await clock.advance(600);
  it.at("replaying the log", { done: 600, total: 1000 });
  await clock.advance(600);
  it.at("replaying the log", { done: 800, total: 1000 });
  expect(lines).toEqual([
    '1970-01-01T00:00:01.200Z INFO  starting step="replaying the log" done=600 total=1000 perSecond=500',
  ]);
  expect(it.seconds).toBe(1.8);
});
