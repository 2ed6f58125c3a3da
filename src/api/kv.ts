/** etcdserverpb.KV: checks and converts requests; the member decides. */
import { KVDefinition } from "../gen/etcdserverpb/rpc.ts";
import type { Member } from "../member/member.ts";
import type { Command } from "../model/command.ts";
import { Refusal } from "../model/refusal.ts";
import type { CompactReply, DeleteRangeReply, PutReply } from "../model/reply.ts";
import type { Call, Service } from "../rpc/service.ts";
import { serviceOf } from "../rpc/service.ts";
import {
  deleteRangeCommandOf,
  deleteRangeResponseOf,
  headerOf,
  putCommandOf,
  putResponseOf,
  rangeQueryOf,
  rangeResponseOf,
  txnCommandOf,
  txnResponseOf,
} from "./convert.ts";
import { granted } from "./status.ts";
import { checkSize } from "./validate.ts";

/** The service; with `serializable`, ranges are read without proof that they are the newest. */
export function kvService(member: Member, serializable: boolean): Service {
  const { requestBytesMax, txnOperationsMax } = member.limits;
  const header = (revision: number) => headerOf(member.header(revision));
  /** Runs a command that goes into the log, if it is small enough for that. */
  const run = async (command: Command | Refusal, call: Call) => {
    const refusal =
      command instanceof Refusal ? command : checkSize(call.requestBytes, requestBytesMax);
    return granted(refusal ?? (await member.propose(command as Command)));
  };
  return serviceOf(KVDefinition, {
    range: async (request, call) => {
      const query = granted(rangeQueryOf(request));
      const asked = serializable ? { ...query, serializable } : query;
      const reply = granted(await member.range(asked, call.signal));
      return rangeResponseOf(reply, header(reply.revision));
    },
    put: async (request, call) => {
      const reply = (await run(putCommandOf(request), call)) as PutReply;
      return putResponseOf(reply, header(reply.revision));
    },
    deleteRange: async (request, call) => {
      const reply = (await run(deleteRangeCommandOf(request), call)) as DeleteRangeReply;
      return deleteRangeResponseOf(reply, header(reply.revision));
    },
    txn: async (request, call) => {
      const command = granted(txnCommandOf(request, txnOperationsMax));
      if (!member.readsOnly(command)) granted(checkSize(call.requestBytes, requestBytesMax));
      const reply = granted(await member.txn(command));
      return txnResponseOf(reply, header(reply.revision));
    },
    compact: async ({ physical, revision }) => {
      const reply = granted(await member.compact(revision, physical)) as CompactReply;
      return { header: header(reply.revision) };
    },
  });
}
