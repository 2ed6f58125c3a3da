/** `t4 gc`: deletes from a bucket what no checkpoint that is kept, and no branch, needs. */
import { logPrefix } from "../object/keys.ts";
import { type Collected, type CollectOptions, collect } from "../replication/collect.ts";
import type { Command } from "./command.ts";
import { consent } from "./consent.ts";
import { bytesText, counted, errandOf, reply } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { parse } from "./parse.ts";
import { gcOptions } from "./upkeep.ts";

const parallel = 16;

export const gc: Command = async (argv, shell) => {
  const options = parse(gcOptions, argv, shell.environment);
  const { attemptMs: attemptMsMax, dryRun, graceMs, keep, ladder, yes } = options;
  const { nowMs, random, store } = errandOf(options);
  const how: CollectOptions = {
    random,
    nowMs,
    retention: { keep, ladder },
    graceMs,
    attemptMsMax,
    parallel,
  };
  const isAsked = shell.answers && !yes;
  const plan = dryRun || isAsked ? await collect(store, { ...how, isDryRun: true }) : undefined;
  const isMeant = dryRun || plan === undefined || amountOf(plan) === 0;
  if (!isMeant && !(await consent(shell, planText(plan, store.address), yes))) {
    shell.warn("Nothing was deleted.\n");
    return exitCodes.ok.code;
  }
  const collected = dryRun && plan !== undefined ? plan : await collect(store, how);
  reply(options, shell, { json: jsonOf(collected, dryRun), text: textOf(collected, dryRun) });
  for (const { key, why } of collected.unreadable) shell.warn(`${key} cannot be read: ${why}\n`);
  for (const key of collected.broken)
    shell.warn(`${key} stays, and its tables are not all there\n`);
  return collected.unreadable.length > 0 ? exitCodes.corruption.code : exitCodes.ok.code;
};

function amountOf({ checkpoints, logObjects, tables }: Collected): number {
  return checkpoints.length + tables.length + logObjects;
}

function planText(plan: Collected, address: string): string {
  const { checkpoints, logBytes, logObjects, tableBytes, tables } = plan;
  const slots = slotsText(plan);
  return `This deletes from ${address}
  ${counted(checkpoints.length, "checkpoint")}
  ${counted(tables.length, "orphan table")}, ${bytesText(tableBytes)}
  ${counted(logObjects, "log object")}, ${bytesText(logBytes)}${slots && `, ${slots}`}
`;
}

/** Where the log objects are; empty for none. */
function slotsText({ logSlots }: Collected): string {
  return logSlots === undefined ? "" : `in slots ${logSlots.first} to ${logSlots.last}`;
}

function jsonOf(collected: Collected, isDryRun: boolean) {
  const { broken, checkpoints, logBytes, logObjects, tableBytes, tables, unreadable } = collected;
  const { logSlots = null } = collected;
  return {
    dry_run: isDryRun,
    checkpoints_deleted: checkpoints.length,
    orphan_ssts_deleted: tables.length,
    wal_segments_deleted: logObjects,
    table_bytes: tableBytes,
    log_bytes: logBytes,
    checkpoints,
    tables,
    log_slots: logSlots,
    broken,
    unreadable,
  };
}

function textOf(collected: Collected, isDryRun: boolean): string {
  const { checkpoints, logObjects, tables, unreadable } = collected;
  if (unreadable.length > 0) {
    return `GC refused: ${counted(unreadable.length, "object")} cannot be read, nothing was deleted\n`;
  }
  const verb = isDryRun ? "to delete" : "deleted";
  const counts = `  checkpoints ${verb}: ${checkpoints.length}
  orphan SSTs ${verb}: ${tables.length}
  WAL segments ${verb}: ${logObjects}
`;
  if (!isDryRun) return `GC complete\n${counts}`;
  const keys = [...checkpoints, ...tables].map((key) => `${key}\n`).join("");
  const log =
    logObjects === 0
      ? ""
      : `${logPrefix} ${slotsText(collected)}: ${counted(logObjects, "object")} with data\n`;
  return `GC dry run, nothing was deleted\n${counts}${keys}${log}`;
}
