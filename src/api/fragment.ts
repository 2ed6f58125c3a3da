/**
 * Watch responses in pieces, for clients that asked for them because they cannot take large
 * messages. The events are dealt out in order, as many to a piece as stay below the limit and at
 * least one; every piece but the last says that more follow.
 */
import { WatchResponse } from "../gen/etcdserverpb/rpc.ts";
import { Event } from "../gen/mvccpb/kv.ts";

/** `response` itself when its encoding is shorter than `bytesMax`, else pieces of it. */
export function fragmentsOf(response: WatchResponse, bytesMax: number): WatchResponse[] {
  const { events } = response;
  const sizes = events.map(fieldBytes);
  const emptyBytes = encodedBytes({ ...response, events: [], fragment: true });
  const total = sizes.reduce((sum, size) => sum + size, emptyBytes);
  if (events.length < 2 || total < bytesMax) return [response];
  const pieces: WatchResponse[] = [];
  for (let from = 0; from < events.length; ) {
    let to = from;
    let bytes = emptyBytes;
    do bytes += sizes[to++] ?? 0;
    while (to < events.length && bytes + (sizes[to] ?? 0) < bytesMax);
    pieces.push({ ...response, events: events.slice(from, to), fragment: to < events.length });
    from = to;
  }
  return pieces;
}

function encodedBytes(response: WatchResponse): number {
  return WatchResponse.encode(response).finish().length;
}

/** What an event adds to the message: its tag, its length, itself. */
function fieldBytes(event: Event): number {
  const { length } = Event.encode(event).finish();
  return 1 + varintBytes(length) + length;
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : 1 + varintBytes(Math.floor(value / 0x80));
}
