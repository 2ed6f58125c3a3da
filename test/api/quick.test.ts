/** The quick ways between bytes and commands or replies, held against the generated codecs. */
import { describe, expect, test } from "bun:test";
import {
  eventOf,
  headerOf,
  putCommandOf,
  putResponseOf,
  rangeQueryOf,
  rangeResponseOf,
  txnCommandOf,
  txnResponseOf,
} from "../../src/api/convert.ts";
import {
  FieldReader,
  varint64Bytes,
  varintBytes,
  writeVarint,
  writeVarint64,
} from "../../src/api/protobuf.ts";
import { readPut, readRange, readTxn } from "../../src/api/read.ts";
import {
  HeaderWriter,
  LargeRange,
  writeEvents,
  writePut,
  writeRange,
  writeTxn,
} from "../../src/api/write.ts";
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import {
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchResponse,
} from "../../src/gen/etcdserverpb/rpc.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Event, KeyValue } from "../../src/model/event.ts";
import type { OperationReply, PutReply, RangeReply, TxnReply } from "../../src/model/reply.ts";
import { revisionOf, termOf } from "../../src/model/revision.ts";
import { compare, op, put, range, txn } from "./requests.ts";

const rounds = 2000;
const identity = { clusterId: 2n ** 63n + 5n, memberId: 77n };
const term = termOf(3);
const room = 5;

/** What is drawn from for the tests. */
class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  below(limit: number): number {
    return this.#random.below(limit);
  }

  flip(): boolean {
    return this.below(2) === 1;
  }

  /** Often one at the edge of a varint's length. */
  number(): number {
    const bits = this.below(53);
    return this.below(4) === 0 ? 0 : Math.max(0, 2 ** bits - this.below(2));
  }

  lease(): bigint {
    return this.flip() ? 0n : BigInt(this.number()) * 1021n;
  }

  text(lengthMax: number): string {
    const codes = Array.from({ length: this.below(lengthMax) }, () => this.below(256));
    return String.fromCharCode(...codes);
  }

  keyValue(): KeyValue {
    return {
      key: this.text(200),
      value: Buffer.from(this.text(300), "latin1"),
      createRevision: revisionOf(this.number()),
      modRevision: revisionOf(this.number()),
      version: this.number(),
      lease: this.lease(),
    };
  }

  /** A transaction; one in many is of a kind that is not read quickly. */
  txn(): pb.TxnRequest {
    const operation = () =>
      [
        () => op.range(this.text(9), this.text(9), { limit: this.below(3) }),
        () => op.put(this.text(9), this.text(300), { lease: this.lease() }),
        () => op.delete(this.text(9), this.text(9), this.flip()),
        () => (this.below(4) === 0 ? op.txn({ success: [op.put("a")] }) : op.put("b")),
      ][this.below(4)]?.() as pb.RequestOp;
    const branch = () =>
      Array.from({ length: this.below(20) === 0 ? 2 : this.below(2) }, operation);
    const claims = [
      undefined,
      { $case: "version", version: this.lease() },
      { $case: "createRevision", createRevision: -this.lease() },
      { $case: "modRevision", modRevision: this.lease() },
      { $case: "value", value: Buffer.from(this.text(20), "latin1") },
      { $case: "lease", lease: this.lease() },
    ] as const;
    const claim = () =>
      compare(this.text(30), {
        result: this.below(5) as pb.Compare_CompareResult,
        target: this.below(6) as pb.Compare_CompareTarget,
        targetUnion: claims[this.below(claims.length)],
        rangeEnd: Buffer.from(this.below(10) === 0 ? "z" : ""),
      });
    const compares = Array.from({ length: this.below(3) }, claim);
    return txn({ compare: compares, success: branch(), failure: branch() });
  }

  /** The answer to an operation. */
  reply(): OperationReply {
    const revision = revisionOf(this.number());
    const kvs = Array.from({ length: this.below(3) }, () => this.keyValue());
    const replies: OperationReply[] = [
      { kind: "range", revision, kvs, more: this.flip(), count: this.number() },
      { kind: "put", revision, previous: kvs[0] },
      { kind: "deleteRange", revision, deleted: this.number(), previous: kvs },
      { kind: "txn", revision, succeeded: true, responses: [] },
    ];
    return replies[this.below(10) === 0 ? 3 : this.below(3)] as OperationReply;
  }

  event(): Event {
    const previous = this.flip() ? this.keyValue() : undefined;
    if (this.flip()) return { type: "put", kv: this.keyValue(), previous };
    const modRevision = revisionOf(this.number());
    return { type: "delete", key: this.text(50), modRevision, previous };
  }
}

/** The bytes behind the room. */
const body = (encoded: Uint8Array) => Buffer.from(encoded.subarray(room));

describe("varints", () => {
  test.each([0, 1, 127, 128, 16_383, 16_384, 2 ** 21, 2 ** 28 - 1, 2 ** 28, 2 ** 32, 2 ** 53 - 1])(
    "%d is written as long as was said, and read back",
    (value) => {
      const out = new Uint8Array(12);
      const end = writeVarint(out, 0, value);
      expect(end).toBe(varintBytes(value));
      expect(new FieldReader(out, 0, end).varint()).toBe(value);
      expect(writeVarint64(out, 0, BigInt(value))).toBe(varint64Bytes(BigInt(value)));
      expect(new FieldReader(out, 0, end).varint64()).toBe(BigInt(value));
    },
  );

  test.each([-1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 35n])("%d has 64 bits", (value) => {
    const out = new Uint8Array(12);
    const end = writeVarint64(out, 0, value);
    expect(end).toBe(varint64Bytes(value));
    expect(new FieldReader(out, 0, end).varint64()).toBe(value);
  });
});

describe("a request that is read quickly", () => {
  test("is the one that the generated codec reads, if it is a put", () => {
    const dice = new Dice(1);
    let quick = 0;
    for (let round = 0; round < rounds; round++) {
      const request = put(dice.text(100), dice.text(300), {
        lease: dice.flip() ? dice.lease() : -dice.lease(),
        prevKv: dice.flip(),
        ignoreValue: dice.below(10) === 0,
        ignoreLease: dice.below(10) === 0,
      });
      const bytes = PutRequest.encode(request).finish();
      const read = readPut(bytes, 0, bytes.length);
      if (read === undefined) continue;
      quick++;
      expect(read).toEqual(putCommandOf(PutRequest.decode(bytes)) as typeof read);
    }
    expect(quick).toBeGreaterThan(rounds / 2);
  });

  test("is the one that the generated codec reads, if it is a range", () => {
    const dice = new Dice(2);
    let quick = 0;
    for (let round = 0; round < rounds; round++) {
      const request = range(dice.text(100), dice.text(100), {
        limit: dice.flip() ? dice.number() : -dice.number(),
        revision: dice.number(),
        sortOrder: dice.below(10) === 0 ? 1 : 0,
        minModRevision: dice.below(10) === 0 ? 5 : 0,
        serializable: dice.flip(),
        keysOnly: dice.flip(),
        countOnly: dice.flip(),
      });
      const bytes = RangeRequest.encode(request).finish();
      const read = readRange(bytes, 0, bytes.length);
      if (read === undefined) continue;
      quick++;
      expect(read).toEqual(rangeQueryOf(RangeRequest.decode(bytes)) as typeof read);
    }
    expect(quick).toBeGreaterThan(rounds / 3);
  });

  test("is the one that the generated codec reads, if it is a transaction", () => {
    const dice = new Dice(7);
    let quick = 0;
    for (let round = 0; round < rounds; round++) {
      const request = dice.txn();
      const bytes = TxnRequest.encode(request).finish();
      const read = readTxn(bytes, 0, bytes.length);
      if (read === undefined) continue;
      quick++;
      expect(read).toEqual(txnCommandOf(TxnRequest.decode(bytes), 128) as typeof read);
    }
    expect(quick).toBeGreaterThan(rounds / 4);
  });

  test("is left alone, or read alike, when it is damaged", () => {
    const dice = new Dice(3);
    const whole = PutRequest.encode(put("key", "value", { lease: 9n, prevKv: true })).finish();
    const asked = RangeRequest.encode(range("key", "end", { limit: 300 })).finish();
    const changed = TxnRequest.encode(
      txn({ compare: [compare("key")], success: [op.put("key", "v")], failure: [op.range("key")] }),
    ).finish();
    for (let round = 0; round < rounds; round++) {
      for (const [bytes, quick, plain] of [
        [whole, readPut, (cut: Uint8Array) => putCommandOf(PutRequest.decode(cut))],
        [asked, readRange, (cut: Uint8Array) => rangeQueryOf(RangeRequest.decode(cut))],
        [changed, readTxn, (cut: Uint8Array) => txnCommandOf(TxnRequest.decode(cut), 128)],
      ] as const) {
        const damaged = Buffer.from(bytes.subarray(0, 1 + dice.below(bytes.length)));
        damaged[dice.below(damaged.length)] = dice.below(256);
        const read = quick(damaged, 0, damaged.length);
        if (read !== undefined) expect(read).toEqual(plain(damaged) as typeof read);
      }
    }
  });
});

describe("an answer that is written quickly", () => {
  test("has the bytes that the generated codec writes, if it is of a put", () => {
    const dice = new Dice(4);
    const headers = new HeaderWriter(identity);
    for (let round = 0; round < rounds; round++) {
      const revision = revisionOf(dice.number());
      const previous = dice.flip() ? dice.keyValue() : undefined;
      const reply: PutReply = { kind: "put", revision, previous };
      const quick = writePut(reply, headers.field(revision, term), room);
      const header = headerOf({ ...identity, revision, term });
      expect(body(quick)).toEqual(
        Buffer.from(PutResponse.encode(putResponseOf(reply, header)).finish()),
      );
    }
  });

  test("has the bytes that the generated codec writes, if it is of a range", () => {
    const dice = new Dice(5);
    const headers = new HeaderWriter({ clusterId: 0n, memberId: 1n });
    for (let round = 0; round < rounds; round++) {
      const revision = revisionOf(dice.number());
      const kvs = Array.from({ length: dice.below(6) }, () => dice.keyValue());
      const reply: RangeReply = {
        kind: "range",
        revision,
        kvs,
        more: dice.flip(),
        count: dice.number(),
      };
      const quick = writeRange(reply, headers.field(revision, term), room);
      const header = headerOf({ clusterId: 0n, memberId: 1n, revision, term });
      const plain = RangeResponse.encode(rangeResponseOf(reply, header)).finish();
      expect(body(quick)).toEqual(Buffer.from(plain));
    }
  });

  test("has the same bytes in pieces, each made when it is asked for", () => {
    const dice = new Dice(9);
    const header = new HeaderWriter(identity).field(5, term);
    for (const count of [0, 1, 5000, 9000]) {
      const kvs = Array.from({ length: count }, () => dice.keyValue());
      const reply: RangeReply = { kind: "range", revision: revisionOf(5), kvs, more: true, count };
      const large = new LargeRange(reply, header);
      let length = large.measure();
      while (length === undefined) length = large.measure();
      const pieces = [...large.pieces()];
      const whole = writeRange(reply, header, 0);
      expect(length).toBe(whole.length);
      expect(Buffer.concat(pieces)).toEqual(Buffer.from(whole));
      for (const piece of pieces) expect(piece.length).toBeLessThan(70_000);
    }
  });
});

describe("an answer about several things", () => {
  test("has the bytes that the generated codec writes, if it is of a transaction", () => {
    const dice = new Dice(8);
    const headers = new HeaderWriter(identity);
    let quick = 0;
    for (let round = 0; round < rounds; round++) {
      const revision = revisionOf(dice.number());
      const responses = Array.from({ length: dice.below(3) }, () => dice.reply());
      const reply: TxnReply = { kind: "txn", revision, succeeded: dice.flip(), responses };
      const written = writeTxn(reply, headers.field(revision, term), room);
      if (written === undefined) continue;
      quick++;
      const header = headerOf({ ...identity, revision, term });
      const plain = TxnResponse.encode(txnResponseOf(reply, header)).finish();
      expect(body(written)).toEqual(Buffer.from(plain));
    }
    expect(quick).toBeGreaterThan(rounds / 2);
  });

  test("has the bytes that the generated codec writes, if it tells of events", () => {
    const dice = new Dice(6);
    const headers = new HeaderWriter(identity);
    for (let round = 0; round < rounds; round++) {
      const revision = revisionOf(dice.number());
      const events = Array.from({ length: dice.below(4) }, () => dice.event());
      const watchId = dice.lease();
      const quick = writeEvents(watchId, events, headers.field(revision, term), room);
      const plain = WatchResponse.encode({
        ...WatchResponse.decode(new Uint8Array(0)),
        header: headerOf({ ...identity, revision, term }),
        watchId,
        events: events.map(eventOf),
      }).finish();
      expect(body(quick)).toEqual(Buffer.from(plain));
    }
  });
});
