/** `t4 branch`: pins a checkpoint so that another database can begin with it, and lets it go. */
import { CorruptionError } from "../lib/corruption.ts";
import { branchKey } from "../object/keys.ts";
import { normalPrefix } from "../object/prefixed.ts";
import {
  type Dependent,
  dependents,
  fork as forkBranch,
  isPinId,
  listBranches,
  readBranch,
  unfork as unforkBranch,
} from "../replication/branch.ts";
import { keyOf } from "../replication/manifest.ts";
import type { FoundPin } from "../replication/pin.ts";
import type { Command } from "./command.ts";
import { consent } from "./consent.ts";
import { counted, type Errand, errandOf, reply, timeText } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { columns } from "./literal.ts";
import { parse } from "./parse.ts";
import { branchListOptions, forkOptions, unforkOptions } from "./upkeep.ts";
import { NotFoundError, UsageError } from "./usage.ts";

export const fork: Command = async (argv, shell) => {
  const options = parse(forkOptions, argv, shell.environment);
  const { branchId, checkpoint: checkpointKey } = options;
  checkId("--branch-id", branchId);
  const { nowMs, random, store, storeAt } = errandOf(options);
  const how = { nowMs, random, storeAt };
  const chosen = checkpointKey === undefined ? how : { ...how, checkpointKey };
  const forked = await forkBranch(store, branchId, chosen);
  switch (forked.outcome) {
    case "pinned": {
      const key = keyOf(forked.pin.pin.checkpoint);
      reply(options, shell, { json: { branch: branchId, checkpoint: key }, text: `${key}\n` });
      return exitCodes.ok.code;
    }
    case "noCheckpoint": {
      const what = checkpointKey ?? "checkpoint";
      throw new NotFoundError(`there is no ${what} in ${store.address}; t4 restore list shows all`);
    }
    case "unusable":
      throw new Error(`the checkpoint was not pinned: ${forked.why}; nothing is left of the fork`);
    default:
      throw new Error(
        `there is a branch "${branchId}" already; choose another --branch-id, or unfork it first`,
      );
  }
};

export const unfork: Command = async (argv, shell) => {
  const options = parse(unforkOptions, argv, shell.environment);
  const { branchId, dryRun, yes } = options;
  checkId("--branch-id", branchId);
  const errand = errandOf(options);
  const { nowMs, random, store } = errand;
  const found = await readBranch(store, branchId);
  if (found === undefined) throw unknownBranch(branchId, store.address);
  const needs = await needsOf(found, errand);
  const plan = planText(branchId, found, needs, store.address);
  if (dryRun) {
    reply(options, shell, { json: jsonOf(branchId, found, needs, false), text: plan });
    return exitCodes.ok.code;
  }
  // Who is not asked is told all the same.
  if (needs.length > 0 && (yes || !shell.answers)) shell.warn(plan);
  if (!(await consent(shell, plan, yes))) {
    shell.warn("The branch keeps its pin.\n");
    return exitCodes.ok.code;
  }
  if (!(await unforkBranch(store, branchId, { nowMs, random }))) {
    throw unknownBranch(branchId, store.address);
  }
  reply(options, shell, { json: jsonOf(branchId, found, needs, true), text: "" });
  return exitCodes.ok.code;
};

export const list: Command = async (argv, shell) => {
  const options = parse(branchListOptions, argv, shell.environment);
  const { store } = errandOf(options);
  const branches = (await listBranches(store)).map(({ id, pin }) => ({
    id,
    checkpoint: keyOf(pin.checkpoint),
    revision: pin.checkpoint.revision,
    created: timeText(pin.createdMs),
    prefix: pin.branchPrefix ?? null,
    verified: pin.isVerified === true,
  }));
  const rows = branches.map(({ checkpoint, created, id, prefix, revision, verified }) => {
    const state = verified ? "(not started)" : "(fork did not finish)";
    return [id, checkpoint, revision, created, prefix ?? state];
  });
  const table = columns(["BRANCH", "CHECKPOINT", "REVISION", "CREATED", "PREFIX"], rows);
  reply(options, shell, {
    json: branches,
    text: branches.length === 0 ? "No branches found.\n" : table,
  });
  return exitCodes.ok.code;
};

/** UsageError unless people may give this id. */
export function checkId(flag: string, id: string): void {
  if (isPinId(id)) return;
  const form = '1 to 63 letters, digits, ".", "_" or "-", the first a letter or a digit';
  throw new UsageError(`${flag} must be ${form}, not ${JSON.stringify(id)}`);
}

function unknownBranch(id: string, address: string): NotFoundError {
  return new NotFoundError(`there is no branch "${id}" of ${address}; t4 branch list shows all`);
}

/** Checkpoints of the branch that need tables of the source; one that cannot be read may need all. */
async function needsOf(
  found: FoundPin,
  { prefix, storeAt }: Errand,
): Promise<readonly Dependent[]> {
  try {
    return await dependents(found, normalPrefix(prefix), { storeAt });
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return [{ key: error.path, tables: ["(it is damaged and cannot be read)"] }];
  }
}

function planText(
  id: string,
  { pin }: FoundPin,
  needs: readonly Dependent[],
  address: string,
): string {
  const begin = `This lets go of ${address}${branchKey(id)}, which keeps ${keyOf(pin.checkpoint)}\n`;
  if (pin.branchPrefix === undefined) return `${begin}  The branch has not started.\n`;
  if (needs.length === 0) {
    return `${begin}  The branch in prefix "${pin.branchPrefix}" needs no table of it any more.\n`;
  }
  const tables = [...new Set(needs.flatMap((each) => each.tables))].sort();
  return `${begin}  Branch "${id}" in prefix "${pin.branchPrefix}" still needs ${counted(tables.length, "table")} of it; gc will delete them, and the branch cannot be restored then:
${tables.map((table) => `    ${table}\n`).join("")}`;
}

function jsonOf(id: string, { pin }: FoundPin, needs: readonly Dependent[], isDone: boolean) {
  return {
    branch: id,
    checkpoint: keyOf(pin.checkpoint),
    prefix: pin.branchPrefix ?? null,
    released: isDone,
    needed_tables: [...new Set(needs.flatMap(({ tables }) => tables))].sort(),
    needed_by: needs.map(({ key }) => key),
  };
}
