/**
 * `t4 restore`: a state that a bucket has, put into a data directory as a database of its own; and
 * the restore points that keep such states in a bucket with versions.
 */

import { createLogger } from "../lib/logger.ts";
import { PosixDisk } from "../lib/posix.ts";
import { claimDirectory } from "../member/directory.ts";
import {
  type Course,
  courseOf,
  coursesTo,
  type Moment,
  type Newest,
  newestIn,
  type Source,
} from "../member/moment.ts";
import { type Rewound, rewind } from "../member/rewind.ts";
import { checkpointOfKey } from "../object/keys.ts";
import { keyOf, readLatest, readManifest } from "../replication/manifest.ts";
import { showCheckpoints } from "../replication/overview.ts";
import { wholeCheckpoints } from "../replication/restore.ts";
import type { Command, Shell } from "./command.ts";
import { demandConsent } from "./consent.ts";
import { type Errand, errandOf, reply, timeText } from "./errand.ts";
import { exitCodes } from "./exit.ts";
import { parse } from "./parse.ts";
import { Progress } from "./progress.ts";
import {
  restoreCheckpointOptions,
  restoreListOptions,
  restoreOptions,
  type UpkeepOptions,
} from "./upkeep.ts";
import { NotFoundError } from "./usage.ts";

export const list: Command = async (argv, shell) => {
  const options = parse(restoreListOptions, argv, shell.environment);
  const { store } = errandOf(options);
  const latest = (await readLatest(store))?.latest;
  const checkpoints = (await showCheckpoints(store)).map((each) => {
    const { key, madeMs, manifest, revision, term, why } = each;
    return {
      checkpoint: key,
      revision: why === undefined ? revision : null,
      term: why === undefined ? term : null,
      latest: key === latest?.checkpointKey,
      at: manifest === undefined ? null : timeText(manifest.wallMs),
      made: timeText(madeMs),
      ...(why === undefined ? {} : { unreadable: why }),
    };
  });
  const line = (key: string, revision: unknown, term: unknown, suffix = "") =>
    `${key.padEnd(72)}  ${String(revision).padStart(10)}  ${String(term).padStart(6)}${suffix}\n`;
  const rows = checkpoints.map(({ checkpoint, latest: isLatest, revision, term }) =>
    line(checkpoint, revision ?? "?", term ?? "?", isLatest ? "  (latest)" : ""),
  );
  const table = `${line("CHECKPOINT", "REVISION", "TERM")}${rows.join("")}`;
  reply(options, shell, {
    json: checkpoints,
    text: rows.length === 0 ? "No checkpoints found.\n" : table,
  });
  return exitCodes.ok.code;
};

export const checkpoint: Command = async (argv, shell) => {
  const options = parse(restoreCheckpointOptions, argv, shell.environment);
  const errand = errandOf(options);
  const { store } = errand;
  const { checkpoint: key } = options;
  if (key === undefined) {
    if ((await readLatest(store)) === undefined) throw unknownCheckpoint("checkpoint", errand);
    return await restoreInto(options, shell, errand, newestCourses(errand, shell), "checkpoint");
  }
  const isKey = checkpointOfKey(key)?.attempt === undefined && checkpointOfKey(key) !== undefined;
  const manifest = isKey ? (await readManifest(store, key))?.manifest : undefined;
  if (manifest === undefined) throw unknownCheckpoint(key, errand);
  return await restoreInto(options, shell, errand, [courseOf(manifest)], "checkpoint");
};

/** To each checkpoint, newest first. */
async function* newestCourses({ store, storeAt }: Errand, shell: Shell): AsyncGenerator<Course> {
  for await (const found of wholeCheckpoints(store, { storeAt })) {
    if ("manifest" in found) yield courseOf(found.manifest);
    else shell.warn(`${found.key} cannot be used: ${found.why}\n`);
  }
}

function unknownCheckpoint(what: string, { store }: Errand): NotFoundError {
  return new NotFoundError(`there is no ${what} in ${store.address}; t4 restore list shows all`);
}

export const at: Command = async (argv, shell) => {
  const options = parse(restoreOptions, argv, shell.environment);
  const errand = errandOf(options);
  const newest = await newestIn(errand);
  if (newest === undefined)
    throw new NotFoundError(`there is no database in ${errand.store.address}`);
  refuseFuture(options.at, newest, errand.nowMs);
  if (!newest.isEverything) shell.warn(`${shortText(newest)}\n`);
  const courses = coursesTo(errand, newest, options.at, ({ key, why }) =>
    shell.warn(`${key} cannot be used: ${why}\n`),
  );
  return await restoreInto(options, shell, errand, courses, momentText(options.at));
};

function refuseFuture(moment: Moment, { revision, wallMs }: Newest, nowMs: number): void {
  const last = `the newest in the bucket is revision ${revision}, written at ${timeText(wallMs)}`;
  if ("revision" in moment && moment.revision > revision) {
    throw new NotFoundError(`revision ${moment.revision} is to come: ${last}`);
  }
  if ("wallMs" in moment && moment.wallMs > nowMs) {
    throw new NotFoundError(`${timeText(moment.wallMs)} is to come: ${last}`);
  }
}

function shortText({ revision, wallMs }: Newest): string {
  const last = `revision ${revision}, written at ${timeText(wallMs)}`;
  return `the bucket need not have everything that was acknowledged: it ends with ${last}`;
}

function momentText(moment: Moment): string {
  return "revision" in moment ? `revision ${moment.revision}` : timeText(moment.wallMs);
}

interface IntoOptions extends UpkeepOptions {
  readonly dataDirectory: string;
  readonly yes: boolean;
}

/** Restores the first course that can be had; `what` is said of it. Resolves to the exit code. */
export async function restoreInto(
  options: IntoOptions,
  shell: Shell,
  errand: Errand,
  courses: AsyncIterable<Course> | Iterable<Course>,
  what: string,
  source: Source = errand,
): Promise<number> {
  const disk = new PosixDisk();
  const { dataDirectory: path, yes } = options;
  const { clock, random } = errand;
  const { store, storeAt } = source;
  const impossible = `${what} cannot be had back: no checkpoint in ${store.address} is whole and as old; t4 restore list shows all`;
  // Nothing is made where there is nothing to put.
  const ready = await begun(courses);
  if (ready === undefined) throw new NotFoundError(impossible);
  const claimed = await claimDirectory(disk, path);
  const progress = new Progress(clock, shell);
  try {
    if (claimed.holds === "database") {
      demandConsent(`${path} holds a database, which would be replaced`, yes);
    }
    const wall = () => clock.wall();
    const logger = createLogger({ level: "warn", format: "text", wall, write: shell.warn });
    const onStep = progress.show;
    const how = { store, storeAt, disk, clock, random, logger, onStep };
    const rewound = await rewind(claimed, ready, how);
    if (rewound === undefined) throw new NotFoundError(impossible);
    reply(options, shell, {
      json: jsonOf(rewound, path),
      text: textOf(rewound, path, errand, what),
    });
    return exitCodes.ok.code;
  } finally {
    progress.end();
    claimed.lock.release();
  }
}

/** `courses` again, once the first of them is known; undefined when there is none. */
async function begun(
  courses: AsyncIterable<Course> | Iterable<Course>,
): Promise<AsyncIterable<Course> | undefined> {
  const rest = (async function* () {
    yield* courses;
  })();
  const first = await rest.next();
  if (first.done) return undefined;
  return (async function* () {
    yield first.value;
    yield* rest;
  })();
}

function jsonOf({ checkpoint, clusterId, index, revision, term, wallMs }: Rewound, path: string) {
  return {
    checkpoint: checkpoint === undefined ? null : keyOf(checkpoint),
    revision,
    term,
    index,
    at: timeText(wallMs),
    data_dir: path,
    cluster: clusterId.toString(16),
  };
}

function textOf(rewound: Rewound, path: string, { storeAt }: Errand, what: string): string {
  const { checkpoint, revision, term, wallMs } = rewound;
  const key =
    checkpoint === undefined ? "(none: from the beginning of the log)" : keyOf(checkpoint);
  const bucket = storeAt("").address.replace(/\/$/, "");
  const at = what === "checkpoint" ? "" : `  at:        ${timeText(wallMs)}\n`;
  return `Restored ${what}
  key:       ${key}
  revision:  ${revision}
  term:      ${term}
${at}  data-dir:  ${path}

It is a database of its own now, with a new cluster id. Start the restored node without a bucket:
  t4 run --data-dir ${path} --listen 0.0.0.0:3379
or with a prefix that is not in use (on the old one it is refused):
  t4 run --data-dir ${path} --listen 0.0.0.0:3379 --object-store ${bucket} --s3-prefix <new-prefix>
`;
}
