/** etcdserverpb.KV: checks and converts requests; the member decides. */
import {
  KVDefinition,
  PutRequest,
  RangeRequest,
  type ResponseHeader,
  TxnRequest,
  TxnResponse,
} from "../gen/etcdserverpb/rpc.ts";
import type { Clock } from "../lib/clock.ts";
import type { Member } from "../member/member.ts";
import type { Answer } from "../member/read.ts";
import type { Command, PutCommand, RangeQuery, TxnCommand } from "../model/command.ts";
import { Refusal } from "../model/refusal.ts";
import type {
  CompactReply,
  DeleteRangeReply,
  PutReply,
  RangeReply,
  TxnReply,
} from "../model/reply.ts";
import type { Call, Reply, Service, UnaryMethod } from "../rpc/service.ts";
import { behind, serviceOf } from "../rpc/service.ts";
import {
  deleteRangeCommandOf,
  deleteRangeResponseOf,
  headerOf,
  putCommandOf,
  rangeQueryOf,
  txnCommandOf,
  txnResponseOf,
} from "./convert.ts";
import { readPut, readRange, readTxn } from "./read.ts";
import { granted, statusErrorOf } from "./status.ts";
import { checkSize } from "./validate.ts";
import { HeaderWriter, LargeRange, writePut, writeRange, writeTxn } from "./write.ts";

const { compact, deleteRange } = KVDefinition.methods;
/** The methods that are called less often go through the generated codecs. */
const rest = { ...KVDefinition, methods: { compact, deleteRange } };

/** The service; with `serializable`, ranges are read without proof that they are the newest. */
export function kvService(member: Member, clock: Clock, serializable: boolean): Service {
  const { requestBytesMax } = member.limits;
  const header = (revision: number) => headerOf(member.header(revision));
  /** Runs a command that goes into the log, if it is small enough for that. */
  const run = async (command: Command | Refusal, call: Call) => {
    const refusal =
      command instanceof Refusal ? command : checkSize(call.requestBytes, requestBytesMax);
    return granted(refusal ?? (await member.propose(command as Command)));
  };
  const service = serviceOf(rest, {
    deleteRange: async (request, call) => {
      const reply = (await run(deleteRangeCommandOf(request), call)) as DeleteRangeReply;
      return deleteRangeResponseOf(reply, header(reply.revision));
    },
    compact: async ({ physical, revision }) => {
      const reply = granted(await member.compact(revision, physical)) as CompactReply;
      return { header: header(reply.revision) };
    },
  });
  const headers = new HeaderWriter(member.identity);
  const methods = [
    rangeMethod(member, clock, serializable, headers),
    putMethod(member, headers),
    txnMethod(member, headers),
  ];
  return { name: service.name, methods: [...methods, ...service.methods] };
}

function putMethod(
  member: Member,
  headers: HeaderWriter,
): UnaryMethod<PutCommand | Refusal, PutReply> {
  const { requestBytesMax } = member.limits;
  return {
    kind: "unary",
    name: KVDefinition.methods.put.name,
    codec: {
      decode: (bytes, from, to) =>
        readPut(bytes, from, to) ?? putCommandOf(PutRequest.decode(bytes.subarray(from, to))),
      encode: (reply, room) => writePut(reply, headers.field(reply.revision, member.term), room),
    },
    handle: (command, call, reply) => {
      const refusal =
        command instanceof Refusal ? command : checkSize(call.requestBytes, requestBytesMax);
      if (refusal !== undefined) throw statusErrorOf(refusal);
      submit(member, command as PutCommand, reply);
    },
  };
}

function rangeMethod(
  member: Member,
  clock: Clock,
  serializable: boolean,
  headers: HeaderWriter,
): UnaryMethod<RangeQuery | Refusal, RangeReply> {
  /** Gives what took long to read; what takes long to write, too, in pieces. */
  const giveRange = async (answer: Promise<RangeReply | Refusal>, reply: Reply<RangeReply>) => {
    try {
      const range = granted(await answer);
      if (!LargeRange.suits(range)) {
        reply.send(range);
        return;
      }
      const large = new LargeRange(range, headers.field(range.revision, member.term));
      let length = large.measure();
      for (; length === undefined; length = large.measure()) await clock.yield();
      reply.sendPieces(length, large.pieces());
    } catch (error) {
      reply.fail(error);
    }
  };
  return {
    kind: "unary",
    name: KVDefinition.methods.range.name,
    codec: {
      decode: (bytes, from, to) =>
        readRange(bytes, from, to) ?? rangeQueryOf(RangeRequest.decode(bytes.subarray(from, to))),
      encode: (reply, room) => writeRange(reply, headers.field(reply.revision, member.term), room),
    },
    handle: (request, call, reply) => {
      const query = granted(request);
      const asked = serializable ? { ...query, serializable } : query;
      const answer = member.range(asked, call);
      if (answer instanceof Promise) void giveRange(answer, reply);
      else give(reply, answer);
    },
  };
}

function txnMethod(
  member: Member,
  headers: HeaderWriter,
): UnaryMethod<TxnCommand | Refusal, TxnReply> {
  const { requestBytesMax, txnOperationsMax } = member.limits;
  return {
    kind: "unary",
    name: KVDefinition.methods.txn.name,
    codec: {
      decode: (bytes, from, to) =>
        readTxn(bytes, from, to) ??
        txnCommandOf(TxnRequest.decode(bytes.subarray(from, to)), txnOperationsMax),
      encode: (reply, room) =>
        writeTxn(reply, headers.field(reply.revision, member.term), room) ??
        encodeTxn(reply, headerOf(member.header(reply.revision)), room),
    },
    handle: (request, call, reply) => {
      const command = granted(request);
      if (member.readsOnly(command)) {
        later(reply, member.read(command));
        return;
      }
      granted(checkSize(call.requestBytes, requestBytesMax));
      submit(member, command, reply);
    },
  };
}

function encodeTxn(reply: TxnReply, header: ResponseHeader, room: number): Uint8Array {
  return behind(TxnResponse.encode(txnResponseOf(reply, header)).finish(), room);
}

/** Runs a command through the log, and gives what came of it. */
function submit<T>(member: Member, command: Command, reply: Reply<T>): void {
  member.submit(
    command,
    (answer) => give(reply, answer as T | Refusal),
    (error) => reply.fail(error),
  );
}

/** Gives an answer that is there, or will be. */
function later<T>(reply: Reply<T>, answer: Answer<T>): void {
  if (!(answer instanceof Promise)) give(reply, answer);
  else
    answer.then(
      (value) => give(reply, value),
      (error) => reply.fail(error),
    );
}

/** Gives an answer that may be a refusal. */
function give<T>(reply: Reply<T>, answer: T | Refusal): void {
  if (answer instanceof Refusal) reply.fail(statusErrorOf(answer));
  else reply.send(answer);
}
