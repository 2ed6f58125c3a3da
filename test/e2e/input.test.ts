/**
 * What nobody should send, to the real binary: whatever comes, the process lives, others are served,
 * and memory and files have a bound.
 */
import { expect, test } from "bun:test";
import {
  KVDefinition,
  LeaseDefinition,
  WatchCreateRequest,
  WatchDefinition,
} from "../../src/gen/etcdserverpb/rpc.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { type Code, codes } from "../../src/rpc/status.ts";
import { CallError, Client, type Unary } from "../support/client.ts";
import { tryEach, whole } from "../support/effort.ts";
import { type Running, startT4, temporaryDirectory } from "../support/t4.ts";
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  frameTypes,
  headerBlock,
  message,
  preface,
  RawConnection,
  settings,
} from "./frames.ts";

const seed = Number(process.env.T4_TEST_SEED ?? 1);
const timeoutMs = whole ? 600_000 : 60_000;
const mebibyte = 2 ** 20;
const key = Buffer.from("key");
const everything = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };
const rangePath = "/etcdserverpb.KV/Range";

/** A server, and a client that behaves itself. */
interface Rig extends AsyncDisposable {
  readonly t4: Running;
  readonly client: Client;
  readonly kv: Unary<typeof KVDefinition>;
  /** Shows that others are served: what is put is read. */
  serves(): Promise<void>;
}

async function startRig(): Promise<Rig> {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(temporaryDirectory());
  const t4 = resources.use(await startT4(directory.path));
  const client = new Client(t4.port);
  resources.defer(() => client.close());
  const kv = client.unary(KVDefinition);
  let puts = 0;
  const started = resources.move();
  return {
    t4,
    client,
    kv,
    serves: async () => {
      const value = Buffer.from(`${++puts}`);
      await kv.put({ key, value });
      const { kvs } = await kv.range({ key });
      expect(Buffer.from(kvs[0]?.value ?? []).toString()).toBe(`${puts}`);
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** A test that draws from the seed; a failure tells it. */
function seeded(body: (random: Random) => Promise<void>): () => Promise<void> {
  return async () => {
    await tryEach([seed], import.meta.path, (seed) => body(new SeededRandom(seed)));
  };
}

async function refusalOf(call: Promise<unknown>): Promise<{ code: number; message: string }> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof CallError) return { code: error.code, message: error.message };
  throw new Error("the call was answered", { cause: error });
}

async function metric(t4: Running, name: string): Promise<number> {
  const text = await (await fetch(`${t4.pages}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(5);
}

const residentBytes = (t4: Running) => metric(t4, "process_resident_memory_bytes");

test("what is not served is refused in the words of gRPC", async () => {
  await using rig = await startRig();
  const cases: [string, string][] = [
    ["/etcdserverpb.KV/Borrow", "unknown method Borrow for service etcdserverpb.KV"],
    ["/etcdserverpb.Bank/Borrow", "unknown service etcdserverpb.Bank"],
    ["/etcdserverpb.KV/", "unknown method  for service etcdserverpb.KV"],
  ];
  for (const [path, message] of cases) {
    const refusal = await refusalOf(rig.client.raw(path, Buffer.alloc(0)));
    expect(refusal).toEqual({ code: codes.unimplemented, message });
  }
  await rig.serves();
});

test("a message that is no such message is refused", async () => {
  await using rig = await startRig();
  const endless = Buffer.alloc(64, 0xff);
  const longer = Buffer.from([0x0a, 0x7f, 0x61]);
  const wrongType = Buffer.from([0x08, 0x01]);
  for (const bytes of [endless, longer]) {
    for (const path of [rangePath, "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn"]) {
      const { code, message } = await refusalOf(rig.client.raw(path, bytes));
      const told = expect.stringMatching(/^grpc: error unmarshalling request: /);
      expect([path, code, message]).toEqual([path, codes.internal, told]);
    }
    const watch = rig.client.stream(WatchDefinition, WatchDefinition.methods.watch);
    watch.sendBytes(bytes);
    expect(await watch.status).toMatchObject({ code: codes.internal });
  }
  const { code } = await refusalOf(rig.client.raw(rangePath, wrongType));
  expect([codes.internal, codes.invalidArgument] as number[]).toContain(code);
  await rig.serves();
});

test(
  "random bytes as messages get an answer or a refusal, and change nothing else",
  seeded(async (random) => {
    await using rig = await startRig();
    const definitions = [KVDefinition, LeaseDefinition];
    const paths = definitions.flatMap(({ fullName, methods }) =>
      Object.values(methods)
        .filter(({ requestStream }) => !requestStream)
        .map(({ name }) => `/${fullName}/${name}`),
    );
    const allowed: Code[] = [codes.ok, codes.invalidArgument, codes.internal, codes.outOfRange];
    allowed.push(codes.notFound, codes.failedPrecondition, codes.unimplemented);
    const seen = new Set<number>();
    for (let round = 0; round < (whole ? 5000 : 150); round++) {
      const calls = paths.map((path) =>
        rig.client.raw(path, noise(random)).catch((error) => error),
      );
      for (const outcome of await Promise.all(calls)) {
        seen.add(outcome instanceof CallError ? outcome.code : codes.ok);
      }
    }
    expect([...seen].filter((code) => !allowed.includes(code as Code))).toEqual([]);
    expect(seen.size).toBeGreaterThan(2);
    await rig.serves();
  }),
  timeoutMs,
);

/** Bytes that begin as messages do: small tags and lengths. */
function noise(random: Random): Buffer {
  return Buffer.from(
    Array.from({ length: random.below(40) }, () =>
      random.below(3) === 0 ? random.below(256) : random.below(24),
    ),
  );
}

test("a message or a request that is too large is refused by its size", async () => {
  await using rig = await startRig();
  const put = (bytes: number) => rig.kv.put({ key, value: Buffer.alloc(bytes) });
  expect(await refusalOf(put(3 * mebibyte))).toEqual({
    code: codes.resourceExhausted,
    message: "grpc: received message larger than max (3145738 vs. 2097152)",
  });
  expect(await refusalOf(put(1.5 * mebibyte))).toEqual({
    code: codes.invalidArgument,
    message: "etcdserver: request is too large",
  });
  await put(1.5 * mebibyte - 100);
  await rig.serves();
});

test(
  "connections that say nothing, noise, or another protocol harm nobody",
  seeded(async (random) => {
    await using rig = await startRig();
    await rig.serves();
    const before = await metric(rig.t4, "process_open_fds");
    const strangers = Array.from(
      { length: whole ? 2000 : 400 },
      () => new RawConnection(rig.t4.port),
    );
    const openings = [
      Buffer.alloc(0),
      Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
      preface.subarray(0, 10),
      preface,
      Buffer.concat([preface, settings]),
      Buffer.concat([preface, Buffer.from(Array.from({ length: 999 }, () => random.below(256)))]),
    ];
    for (const [at, stranger] of strangers.entries()) {
      await stranger.send(openings[at % openings.length] ?? preface);
      if (at % 40 === 0) await rig.serves();
    }
    await rig.serves();
    for (const stranger of strangers) stranger[Symbol.dispose]();
    await until(async () => (await metric(rig.t4, "process_open_fds")) <= before + 2);
  }),
  timeoutMs,
);

test(
  "frames that break the rules of HTTP/2 harm nobody",
  seeded(async (random) => {
    await using rig = await startRig();
    const call = frame(frameTypes.headers, endHeaders, 1, callHeaders(rangePath));
    for (let round = 0; round < (whole ? 50_000 : 1300); round++) {
      using connection = new RawConnection(rig.t4.port);
      const frames = Array.from({ length: 40 }, () => anyFrame(random));
      await connection.send(preface, settings, ...(random.below(2) === 0 ? [call] : []), ...frames);
      if (round % 25 === 0) await rig.serves();
    }
    await rig.serves();
    expect(await residentBytes(rig.t4)).toBeLessThan(512 * mebibyte);
  }),
  timeoutMs,
);

/** A frame of any type, on any stream, with any content; mostly whole. */
function anyFrame(random: Random): Buffer {
  const payloads = [
    Buffer.alloc(random.below(20), random.below(256)),
    callHeaders(rangePath, { x: "y".repeat(random.below(200)) }),
    message(Buffer.from([10, 1, 97])),
    Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256))),
  ];
  const payload = payloads[random.below(payloads.length)] ?? Buffer.alloc(0);
  const made = frame(random.below(12), random.below(256), random.below(8), payload);
  if (random.below(10) === 0) made.writeUIntBE(random.below(2 ** 24), 0, 3);
  return made;
}

/** A way to ask for more than one gives: a piece that is sent again and again. */
const floods: readonly [string, (at: number) => Buffer][] = [
  [
    "streams opened and reset",
    (at) =>
      Buffer.concat([
        frame(frameTypes.headers, endHeaders, 2 * at + 1, callHeaders(rangePath)),
        frame(frameTypes.reset, 0, 2 * at + 1, Buffer.from([0, 0, 0, 8])),
      ]),
  ],
  [
    "headers without an end",
    (at) =>
      at === 0
        ? frame(frameTypes.headers, 0, 1, callHeaders(rangePath))
        : frame(frameTypes.continuation, 0, 1, headerBlock({ [`x${at}`]: "y".repeat(5000) })),
  ],
  ["pings", () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
  ["settings", () => settings],
  [
    "calls without an end",
    (at) =>
      Buffer.concat([
        frame(frameTypes.headers, endHeaders, 2 * at + 1, callHeaders(rangePath)),
        frame(frameTypes.data, 0, 2 * at + 1, Buffer.from([0, 0, 31, 255, 255])),
      ]),
  ],
  ["empty frames", () => frame(frameTypes.data, 0, 1, Buffer.alloc(0))],
  [
    "a header that unfolds",
    (at) => {
      const grow = Buffer.concat([Buffer.from([0x40, 1, 97, 127, 0x81, 0x1e]), Buffer.alloc(4000)]);
      const block = [callHeaders(rangePath), ...(at === 0 ? [grow] : []), Buffer.alloc(9000, 190)];
      const flags = endHeaders | endStream;
      return frame(frameTypes.headers, flags, 2 * at + 1, Buffer.concat(block));
    },
  ],
];

test.each(floods)(
  "a flood of %s, to a client that reads nothing, harms nobody",
  async (_, piece) => {
    await using rig = await startRig();
    await rig.serves();
    using connection = new RawConnection(rig.t4.port);
    connection.pause();
    await connection.send(preface, settings);
    for (let at = 0; at < 10_000; at += 100) {
      const pieces = Array.from({ length: 100 }, (_, more) => piece(at + more));
      // A server may stop reading what it cannot answer.
      await Promise.race([connection.send(...pieces), rig.serves()]);
    }
    await rig.serves();
    expect(await residentBytes(rig.t4)).toBeLessThan(512 * mebibyte);
  },
  timeoutMs,
);

function everythingRequest() {
  const createRequest = { ...WatchCreateRequest.decode(new Uint8Array(0)), ...everything };
  return { requestUnion: { $case: "createRequest", createRequest } } as const;
}

test(
  "watches whose clients do not read cost bounded memory, and miss nothing",
  async () => {
    await using rig = await startRig();
    const { methods } = WatchDefinition;
    const clients = Array.from({ length: 8 }, () => new Client(rig.t4.port));
    const puts = whole ? 5000 : 800;
    const value = Buffer.alloc(200_000, "v");
    try {
      const watches = clients.map((client) => client.stream(WatchDefinition, methods.watch));
      for (const watch of watches) {
        watch.send(everythingRequest());
        expect(await watch.next()).toMatchObject({ created: true });
        watch.pause();
      }
      let most = 0;
      for (let put = 0; put < puts; put += 8) {
        const batch = Array.from({ length: 8 }, (_, at) => Buffer.from(`k${put + at}`));
        await Promise.all(batch.map((key) => rig.kv.put({ key, value })));
        most = Math.max(most, await residentBytes(rig.t4));
      }
      // What waits for the eight is twice as much and more.
      expect(most).toBeLessThan(640 * mebibyte);
      expect(puts * value.length * watches.length).toBeGreaterThan(1200 * mebibyte);
      const [one] = watches;
      one?.resume();
      const seen: number[] = [];
      while (seen.length < puts) {
        const response = await one?.next();
        if (response === undefined) throw new Error("the watch ended");
        seen.push(...response.events.map(({ kv }) => kv?.modRevision ?? 0));
      }
      expect(seen).toEqual(Array.from({ length: puts }, (_, at) => at + 2));
      for (const watch of watches) watch.cancel();
      for (const watch of watches) await watch.status;
    } finally {
      for (const client of clients) client.close();
    }
    await until(async () => (await metric(rig.t4, "t4_watch_active")) === 0);
    await rig.serves();
  },
  timeoutMs,
);

test(
  "two thousand streams on one connection leave the others as they are",
  async () => {
    await using rig = await startRig();
    const { watch } = WatchDefinition.methods;
    const client = new Client(rig.t4.port);
    try {
      const streams = Array.from({ length: 2000 }, () => client.stream(WatchDefinition, watch));
      for (const stream of streams) stream.send(everythingRequest());
      for (const stream of streams) expect(await stream.next()).toMatchObject({ created: true });
      expect(await metric(rig.t4, "t4_watch_active")).toBe(2000);
      for (let put = 0; put < 3; put++) await rig.serves();
      for (const stream of streams) {
        const revisions: unknown[] = [];
        while (revisions.length < 3) {
          const response = await stream.next();
          revisions.push(...(response?.events.map(({ kv }) => kv?.modRevision) ?? ["ended"]));
        }
        expect(revisions).toEqual([2, 3, 4]);
      }
      for (const stream of streams) stream.cancel();
      for (const stream of streams) await stream.status;
      await until(async () => (await metric(rig.t4, "t4_watch_active")) === 0);
    } finally {
      client.close();
    }
    await rig.serves();
  },
  timeoutMs,
);
