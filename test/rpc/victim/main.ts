/**
 * A server in a process of its own, so that what it uses is not mixed with what its attackers use.
 * Its parent tells it its options, and then asks how it is.
 */
import { type ServerOptions, serve } from "../../../src/rpc/server.ts";
import { aborted, Bench, echo } from "../echo.ts";
import type { Condition, Greeting } from "./victim.ts";

/** Handlers that have begun and not ended. */
let running = 0;
let peakBytes = 0;

/** Runs `handle`, counted. */
async function counted<T>(handle: () => Promise<T>): Promise<T> {
  running++;
  try {
    return await handle();
  } finally {
    running--;
  }
}

const [limits] = process.argv.slice(2).map((text) => JSON.parse(text) as ServerOptions["limits"]);
const bench = await Bench.open(
  serve,
  {
    ...echo,
    say: (request, call) =>
      counted(async () => {
        if (request.text === "wait") await aborted(call.signal);
        const [, count] = /^bytes (\d+)$/.exec(request.text) ?? [];
        return count === undefined ? request : { text: "x".repeat(Number(count)) };
      }),
    chat: (stream) =>
      counted(async () => {
        for await (const request of stream.requests) {
          if (request.text === "deaf") await aborted(stream.signal);
          while (request.text === "pour" && !stream.signal.aborted) {
            stream.send({ text: "x".repeat(65_536) });
            await stream.drained();
          }
          const [, drops] = /^drizzle (\d+)$/.exec(request.text) ?? [];
          for (let left = Number(drops ?? 0); left > 0 && stream.writable; left--) {
            stream.send({ text: "0123456789" });
          }
          stream.send(request);
        }
      }),
  },
  limits === undefined ? {} : { limits },
);

setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}, 10);

process.on("message", () => {
  Bun.gc(true);
  const bytes = process.memoryUsage.rss();
  const { broken, logged, server } = bench;
  const faults = logged.filter(({ level }) => level === "error");
  const condition: Condition = {
    bytes,
    peakBytes: Math.max(peakBytes, bytes),
    running,
    streams: server.streams,
    complaints: [...faults.map((line) => JSON.stringify(line)), ...broken.map(String)],
  };
  peakBytes = 0;
  process.send?.(condition);
});
process.on("disconnect", () => process.exit());
const greeting: Greeting = { port: bench.server.port };
process.send?.(greeting);
