/**
 * `t4 recover --accept-loss`: when writes were acknowledged by a disk alone and that disk is lost,
 * makes the bucket the database, by an operator's word:
 *
 *   1 read the lock: where it says that the bucket has everything, nothing is lost, and nothing done
 *   2 say what is lost: everything after the last revision that the bucket has
 *   3 take the lock: term + 1, the bucket alone has what counts
 *   4 put a fence: whoever led before, should it still run, puts nothing after it
 *
 * The next member that starts takes over as after any lost disk.
 */
import { someId } from "../member/directory.ts";
import { lockKey, logKey } from "../object/keys.ts";
import { findEnd, type LogEnd, putFence, SupersededError } from "../replication/archive.ts";
import { readBoundary } from "../replication/boundary.ts";
import { acceptLoss, type Head, type Observed, readHead, writeHead } from "../replication/lock.ts";
import { readNode } from "../replication/nodes.ts";
import { decodeLogObject } from "../replication/record.ts";
import type { Command } from "./command.ts";
import { demandConsent } from "./consent.ts";
import { type Errand, errandOf, reply, timeText } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { parse } from "./parse.ts";
import { recoverOptions } from "./upkeep.ts";
import { NotFoundError, UsageError } from "./usage.ts";

export const recover: Command = async (argv, shell) => {
  const options = parse(recoverOptions, argv, shell.environment);
  if (!options.acceptLoss) {
    throw new UsageError("--accept-loss is missing: it is the one thing that t4 recover does");
  }
  const errand = errandOf(options);
  const { address } = errand.store;
  const observed = await readHead(errand.store);
  if (observed === undefined) {
    throw new NotFoundError(`there is no ${lockKey} in ${address}: nothing was acknowledged there`);
  }
  const { head } = observed;
  const before = await lastOf(errand, head);
  if (head.s3) {
    const text = `Nothing is lost: ${address} has every acknowledged write, up to revision ${before.revision}.\n`;
    reply(options, shell, { json: jsonOf(head, before, false), text });
    return exitCodes.ok.code;
  }
  const loss = lossText(head, await holdersOf(errand, head), before);
  demandConsent(loss, options.yes);
  shell.warn(`${loss}\n`);
  const { end, taken } = await take(errand, observed);
  const text = `The bucket is the database now: it ends with revision ${end.revision}.
Start a member with the same bucket options; it takes over in a term after ${taken.term}.
`;
  reply(options, shell, { json: jsonOf(taken, end, true), text });
  return exitCodes.ok.code;
};

/** Where the bucket's log ends. */
async function lastOf({ store }: Errand, { cluster }: Head): Promise<LogEnd> {
  const { seq } = await readBoundary(store);
  return await findEnd(store, cluster, { atLeast: seq - 1 });
}

/** Steps 3 and 4; `end` is the log up to the fence, its time that of what stands before it. */
async function take(errand: Errand, observed: Observed): Promise<{ taken: Head; end: LogEnd }> {
  const { clock, random, store } = errand;
  const { cluster } = observed.head;
  const self = { incarnation: someId(random), name: "t4 recover", address: "" };
  const { term: pastTerm } = await lastOf(errand, observed.head);
  const draft = acceptLoss({ head: observed.head, self, cluster, pastTerm });
  const { now, won } = await writeHead(store, observed, draft, { clock, random });
  if (!won) throw new SupersededError(now.head.term, now.head.leader);
  const reign = { store, cluster, term: now.head.term, writer: self.incarnation };
  const before = await lastOf(errand, now.head);
  const fence = await putFence(reign, before, { clock, random });
  // Whoever led may have put more meanwhile.
  const seq = fence.seq - 1;
  const object = seq === before.seq ? undefined : await store.get(logKey(seq));
  const { wallMs } = object ? decodeLogObject(seq, object.bytes, cluster) : before;
  return { taken: now.head, end: { ...fence, wallMs } };
}

/** Who has what the bucket lacks: names where they are known. */
async function holdersOf({ store }: Errand, { cluster, iss }: Head): Promise<string> {
  const names = iss.map(async (incarnation) => {
    const id = incarnation.toString(16);
    const node = await readNode(store, incarnation, cluster).catch(() => undefined);
    return node === undefined ? id : `${node.name} (${id})`;
  });
  return (await Promise.all(names)).join(", ");
}

function lossText({ leader }: Head, holders: string, end: LogEnd): string {
  const where = leader.address === "" ? "" : ` at ${leader.address}`;
  const last =
    end.seq === 0
      ? "the bucket has no log at all"
      : `the last revision in the bucket is ${end.revision} (entry ${end.position.index}, written at ${timeText(end.wallMs)})`;
  return `what was acknowledged after it is lost: ${last}; more is on the disk of ${holders}, whose member, ${leader.name}${where}, must not run any more`;
}

function jsonOf({ leader, term }: Head, end: LogEnd, isAccepted: boolean) {
  return {
    accepted: isAccepted,
    lost: isAccepted ? "what was acknowledged after last_revision" : null,
    last_revision: end.revision,
    last_index: end.position.index,
    last_written: timeText(end.wallMs),
    term,
    leader: leader.name,
  };
}
