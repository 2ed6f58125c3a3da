/** Whole sessions of well-behaved clients, frame by frame, for a mutator to spoil. */
import net from "node:net";
import { Client } from "../../support/client.ts";
import { EchoDefinition } from "../echo.ts";
import { message } from "../wire/exchange.ts";
import { blockOf, indexed, remembered, requestFields, tableSize } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";

/** The frames of a client, without the preface. */
export type Recording = readonly Buffer[];

const { flags, types } = wire;
const { chat, join, list } = EchoDefinition.methods;

/** What the wire client would send to make use of every type of frame. */
export function written(): Recording[] {
  const say = blockOf(requestFields("/test.Echo/Say"));
  const chatting = blockOf(requestFields("/test.Echo/Chat", [["grpc-timeout", "1H"]]));
  const calls = [
    wire.settings([wire.settingIds.initialWindowSize, 100_000], [wire.settingIds.enablePush, 0]),
    wire.settingsAcknowledged,
    wire.windowUpdate(0, 1_000_000),
    wire.headers(1, Buffer.concat([say, remembered("user-agent", "fuzz/1")])),
    wire.data(1, message("one"), flags.endStream),
    wire.headers(3, Buffer.concat([say, indexed(62)])),
    wire.data(3, wire.padded(message("two"), 30), flags.padded | flags.endStream),
    wire.ping(1),
    wire.headers(5, Buffer.concat([wire.priorityFields(3), say]), flags.priority),
    wire.data(5, message("three"), flags.endStream),
    wire.resetStream(5, "CANCEL"),
    wire.goAway(0, "NO_ERROR", "bye"),
  ];
  const streams = [
    wire.settings(),
    wire.settingsAcknowledged,
    wire.frame(types.headers, 0, 1, chatting.subarray(0, 30)),
    wire.frame(types.continuation, 0, 1, chatting.subarray(30, 60)),
    wire.frame(types.continuation, flags.endHeaders, 1, chatting.subarray(60)),
    wire.data(1, Buffer.concat([message("a"), message("bc"), message("")])),
    wire.frame(types.priority, 0, 1, wire.priorityFields(0)),
    wire.headers(3, Buffer.concat([tableSize(0), tableSize(2000), chatting])),
    wire.data(3, message("x".repeat(300)).subarray(0, 100)),
    wire.windowUpdate(3, 5000),
    wire.data(3, message("x".repeat(300)).subarray(100)),
    wire.data(1, message("d")),
    wire.headers(1, blockOf([["checksum", "0"]]), flags.endStream),
    wire.settings([wire.settingIds.headerTableSize, 100], [wire.settingIds.maxFrameSize, 20_000]),
    wire.data(3, Buffer.alloc(0), flags.endStream),
  ];
  return [calls, streams];
}

/** What grpc-js sends for a few calls, taken down on its way to the server at `port`. */
export async function recorded(port: number): Promise<Recording> {
  const taken: Buffer[] = [];
  const listener = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    near.on("data", (bytes) => taken.push(Buffer.from(bytes)));
    near.on("error", () => undefined).pipe(far);
    far.on("error", () => undefined).pipe(near);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const client = new Client((listener.address() as net.AddressInfo).port);
  const { say } = client.unary(EchoDefinition);
  for (const text of ["one", "two", "three"])
    await say({ text }, { metadata: { hasleader: "true" } });
  for (const method of [chat, list, join]) {
    const stream = client.stream(EchoDefinition, method, { deadlineMs: 60_000 });
    stream.send({ text: "a b c" });
    stream.end();
    await stream.status;
  }
  client.close();
  listener.close();
  const reader = new wire.FrameReader();
  const frames = reader.push(Buffer.concat(taken).subarray(wire.preface.length));
  return frames.map(({ flags, payload, stream, type }) => wire.frame(type, flags, stream, payload));
}
