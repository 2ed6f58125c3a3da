/** `t4 restore pin`, `points`, `unpin`, `point`: restore points of a bucket that keeps versions. */
import { courseOf } from "../member/moment.ts";
import { pointKey } from "../object/keys.ts";
import { findEnd } from "../replication/archive.ts";
import { keyOf } from "../replication/manifest.ts";
import type { FoundPin } from "../replication/pin.ts";
import { listPoints, pinPoint, readPoint, releasePoint, viewOf } from "../replication/points.ts";
import { checkId } from "./branch.ts";
import type { Command } from "./command.ts";
import { consent } from "./consent.ts";
import { errandOf, reply, timeText } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { columns } from "./literal.ts";
import { parse } from "./parse.ts";
import { restoreInto } from "./restore.ts";
import { pinOptions, pointOptions, pointsOptions, unpinOptions } from "./upkeep.ts";
import { ConfigurationError, NotFoundError, UsageError } from "./usage.ts";

export const pin: Command = async (argv, shell) => {
  const options = parse(pinOptions, argv, shell.environment);
  const { at, pointId } = options;
  checkId("--id", pointId);
  if (at !== undefined && "revision" in at) {
    throw new UsageError("--at must be a time: a bucket keeps versions by time, not by revision");
  }
  const { nowMs, random, store } = errandOf(options);
  if (at !== undefined && at.wallMs > nowMs) {
    throw new NotFoundError(`${timeText(at.wallMs)} is to come`);
  }
  const pinned = await pinPoint(store, pointId, { nowMs, random, ...(at && { atMs: at.wallMs }) });
  switch (pinned.outcome) {
    case "pinned": {
      const json = jsonOf(pointId, pinned.pin);
      reply(options, shell, { json, text: `${json.checkpoint}\n` });
      return exitCodes.ok.code;
    }
    case "noVersions":
      throw new ConfigurationError(
        `${store.address} keeps no versions, so it has no restore points; switch versioning on, or use t4 branch fork`,
      );
    case "noCheckpoint":
      throw new NotFoundError(`there was no checkpoint in ${store.address} at that moment`);
    case "unusable":
      throw new NotFoundError(`the moment cannot be had any more: ${pinned.why}`);
    default:
      throw new Error(`there is a restore point "${pointId}" already; choose another --id`);
  }
};

export const points: Command = async (argv, shell) => {
  const options = parse(pointsOptions, argv, shell.environment);
  const { store } = errandOf(options);
  const all = (await listPoints(store)).map((each) => jsonOf(each.id, each));
  const rows = all.map(({ at, checkpoint, id, revision }) => [id, at, revision, checkpoint]);
  const table = columns(["POINT", "AT", "REVISION", "CHECKPOINT"], rows);
  const text = rows.length === 0 ? "No restore points found.\n" : table;
  reply(options, shell, { json: all, text });
  return exitCodes.ok.code;
};

export const unpin: Command = async (argv, shell) => {
  const options = parse(unpinOptions, argv, shell.environment);
  const { dryRun, pointId, yes } = options;
  checkId("--id", pointId);
  const { nowMs, random, store } = errandOf(options);
  const found = await readPoint(store, pointId);
  if (found === undefined) throw unknownPoint(pointId, store.address);
  const key = keyOf(found.pin.checkpoint);
  const plan = `This lets go of ${store.address}${pointKey(pointId)}, which keeps ${key}\n`;
  if (!(dryRun || (await consent(shell, plan, yes)))) {
    shell.warn("The restore point stays.\n");
    return exitCodes.ok.code;
  }
  if (!(dryRun || (await releasePoint(store, pointId, { nowMs, random })))) {
    throw unknownPoint(pointId, store.address);
  }
  const json = { ...jsonOf(pointId, found), released: !dryRun };
  reply(options, shell, { json, text: dryRun ? plan : "" });
  return exitCodes.ok.code;
};

export const point: Command = async (argv, shell) => {
  const options = parse(pointOptions, argv, shell.environment);
  const { pointId } = options;
  checkId("--id", pointId);
  const errand = errandOf(options);
  const found = await readPoint(errand.store, pointId);
  if (found === undefined) throw unknownPoint(pointId, errand.store.address);
  const { checkpoint } = found.pin;
  const { cluster } = checkpoint;
  const store = viewOf(errand.store, found);
  const end = await findEnd(store, cluster);
  const course = { ...courseOf(checkpoint), end, until: "end" as const };
  const source = { store, storeAt: errand.storeAt };
  return await restoreInto(options, shell, errand, [course], `point ${pointId}`, source);
};

function jsonOf(id: string, { pin: { checkpoint, createdMs, point: noted } }: FoundPin) {
  return {
    id,
    at: timeText(Number(noted?.at_ms ?? 0)),
    checkpoint: keyOf(checkpoint),
    revision: checkpoint.revision,
    created: timeText(createdMs),
  };
}

function unknownPoint(id: string, address: string): NotFoundError {
  return new NotFoundError(
    `there is no restore point "${id}" of ${address}; t4 restore points shows all`,
  );
}
