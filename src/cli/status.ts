/** `t4 status`: what a bucket holds of a database, without asking a member. */
import type { Head } from "../replication/lock.ts";
import { keyOf } from "../replication/manifest.ts";
import { type Overview, overviewOf, type Shown } from "../replication/overview.ts";
import type { Command } from "./command.ts";
import { bytesText, type Errand, errandOf, reply, spanText, timeText } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { parse } from "./parse.ts";
import { statusOptions } from "./upkeep.ts";

export const status: Command = async (argv, shell) => {
  const options = parse(statusOptions, argv, shell.environment);
  const errand = errandOf(options);
  const overview = await overviewOf(errand.store);
  reply(options, shell, { json: jsonOf(overview, errand), text: textOf(overview, errand) });
  return exitCodes.ok.code;
};

/** The checkpoint that manifest/latest names, where it is in the list. */
function newestOf({ checkpoints, latest }: Overview): Shown | undefined {
  return checkpoints.find(({ key }) => key === latest?.checkpointKey);
}

/** Whether there is a database at all. */
function isThere({ checkpoints, head, latest, log }: Overview): boolean {
  return head !== undefined || latest !== undefined || checkpoints.length + log.objects > 0;
}

/** Milliseconds since the last checkpoint was made; undefined when there is none. */
function ageOf(overview: Overview, { nowMs }: Errand): number | undefined {
  const newest = newestOf(overview);
  return newest && Math.max(0, nowMs - newest.madeMs);
}

function jsonOf(overview: Overview, errand: Errand) {
  const { branches, checkpoints, head, latest, log, tables } = overview;
  const age = ageOf(overview, errand);
  return {
    address: errand.store.address,
    database: isThere(overview),
    cluster: head?.cluster.toString(16) ?? null,
    latest_checkpoint: latest
      ? {
          key: latest.checkpointKey,
          revision: latest.revision,
          term: latest.term,
          index: latest.index,
          age_seconds: age === undefined ? null : Math.round(age / 1000),
        }
      : null,
    checkpoints: checkpoints.length,
    wal_segments: log.objects,
    branches: branches.map(({ id, pin: { branchPrefix = null, createdMs, checkpoint } }) => ({
      id,
      checkpoint: keyOf(checkpoint),
      created: timeText(createdMs),
      prefix: branchPrefix,
    })),
    log: {
      first_slot: log.firstSeq,
      last_slot: log.lastSeq,
      data_objects: log.objects - log.fences,
      fences: log.fences,
      bytes: log.bytes,
      first_revision: log.firstRevision ?? null,
      last_revision: log.end?.revision ?? null,
      last_index: log.end?.position.index ?? null,
      last_written: log.end ? timeText(log.end.wallMs) : null,
    },
    tables: { objects: tables.objects, bytes: tables.bytes },
    lock: head ? lockJson(head) : null,
    rpo: rpoText(overview),
  };
}

function lockJson(head: Head) {
  const { iss, leader, s3, term } = head;
  return {
    term,
    leader: leader.name,
    incarnation: leader.incarnation.toString(16),
    address: leader.address,
    in_sync: iss.map((incarnation) => incarnation.toString(16)),
    bucket_is_member: s3,
    written: timeText(head.wallMs),
  };
}

function textOf(overview: Overview, errand: Errand): string {
  const { address } = errand.store;
  const kind = address.startsWith("s3://") ? "S3" : "Object store";
  const { branches, checkpoints, latest, log } = overview;
  const checkpoint = latest
    ? [
        `key:       ${latest.checkpointKey}`,
        `revision:  ${latest.revision}`,
        `term:      ${latest.term}`,
      ]
    : ["(none: no checkpoint has been written yet)"];
  const forks = branches.map(({ id, pin }) => {
    return `${id.padEnd(30)}  pinned at: ${keyOf(pin.checkpoint)}`;
  });
  const blocks: [string, readonly string[]][] = [
    ["Latest checkpoint", checkpoint],
    ["Storage objects", [`checkpoints: ${checkpoints.length}`, `WAL segments: ${log.objects}`]],
    ["Branch forks", forks.length === 0 ? ["(none)"] : forks],
    ["Log", logLines(overview)],
    ["Leader", leaderLines(overview)],
    ["Safety", safetyLines(overview, errand)],
  ];
  const lines = blocks.map(([title, facts]) => {
    return `${title}\n${facts.map((fact) => `  ${fact}\n`).join("")}`;
  });
  const absence = isThere(overview) ? "" : "There is no database here.\n\n";
  return `${kind} status  ${address}\n\n${absence}${lines.join("\n")}`;
}

function logLines({ log, tables }: Overview): string[] {
  const { bytes, end, fences, firstRevision, firstSeq, lastSeq, objects } = log;
  if (objects === 0) return ["(none)"];
  const last = end === undefined ? "?" : `${end.revision}`;
  return [
    `slots:     ${firstSeq} to ${lastSeq} (${objects - fences} with data, ${fences} fences)`,
    `revisions: ${firstRevision === undefined ? "none" : `${firstRevision} to ${last}`}`,
    `bytes:     ${bytesText(bytes)}`,
    `tables:    ${tables.objects}, ${bytesText(tables.bytes)}`,
  ];
}

function leaderLines({ head }: Overview): string[] {
  if (head === undefined) return ["(none: nobody has led here yet)"];
  const { iss, leader, s3, term } = head;
  const members = iss.map((incarnation) => incarnation.toString(16));
  return [
    `name:      ${leader.name} (${leader.incarnation.toString(16)})`,
    `address:   ${leader.address || "not told"}`,
    `term:      ${term}`,
    `in sync:   ${[...members, ...(s3 ? ["the bucket"] : [])].join(", ")}`,
    `bucket:    ${s3 ? "a member: it has every acknowledged write" : "no member"}`,
  ];
}

function safetyLines(overview: Overview, errand: Errand): string[] {
  const age = ageOf(overview, errand);
  const made = age === undefined ? "none" : `${spanText(age)} ago`;
  return [`checkpoint: ${made}`, `RPO:        ${rpoText(overview)}`];
}

/** What would be lost with every disk, in words. */
function rpoText({ head, log }: Overview): string {
  const { end } = log;
  if (head === undefined) return "nothing is in the bucket";
  if (head.s3) return "0: every acknowledged write is in the bucket";
  const last = end === undefined ? "" : ` after revision ${end.revision} (${timeText(end.wallMs)})`;
  return `what was written${last}: it is on the disk of ${head.leader.name} alone`;
}
