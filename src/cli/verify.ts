/**
 * `t4 verify`: checks every byte of a data directory, or of a bucket, and says what it looked at, or
 * what is damaged.
 */
import { SystemClock } from "../lib/clock.ts";
import { PosixDisk } from "../lib/posix.ts";
import { SystemRandom } from "../lib/random.ts";
import { verifyBucket } from "../member/audit.ts";
import { type Damage, type Verification, verifyDirectory } from "../member/verify.ts";
import { holdsDatabase } from "../replication/overview.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { columns, jsonLine } from "./literal.ts";
import { verifyOptions } from "./options.ts";
import { parse } from "./parse.ts";
import { withScratch } from "./scratch.ts";
import { errandLimits, openBucket } from "./store.ts";
import { NotFoundError } from "./usage.ts";

const cacheBytesMax = 2 ** 26;

export const verify: Command = async (argv, shell) => {
  const options = parse(verifyOptions, argv, shell.environment);
  const { dataDirectory, json, output } = options;
  const clock = new SystemClock();
  const rooms = { disk: new PosixDisk(), clock, cacheBytesMax };
  const bucket = openBucket(options, { clock, random: new SystemRandom(), limits: errandLimits });
  if (bucket !== undefined && !(await holdsDatabase(bucket.store))) {
    throw new NotFoundError(`there is no database in ${bucket.store.address}`);
  }
  const verification =
    bucket === undefined
      ? await verifyDirectory(dataDirectory, rooms)
      : await withScratch((scratch) => verifyBucket(bucket, { ...rooms, scratch }));
  const isJson = json || output === "json";
  shell.print(isJson ? jsonLine(jsonOf(verification)) : textOf(verification));
  return verification.damages.length === 0 ? exitCodes.ok.code : exitCodes.corruption.code;
};

function jsonOf({ damages, notes, parts, subject }: Verification) {
  return {
    subject,
    sound: damages.length === 0,
    verified: Object.fromEntries(parts.map(({ counts, name }) => [name, counts])),
    notes,
    damages: damages.map(({ offset = null, path, range = null, what }) => ({
      path,
      offset,
      what,
      range,
    })),
  };
}

function textOf({ damages, notes, parts, subject }: Verification): string {
  const rows = parts.map(({ counts, name }) => {
    const facts = Object.entries(counts).map(([what, count]) => `${what} ${count}`);
    return [name, facts.join(", ")];
  });
  const verdict =
    damages.length === 0
      ? "Nothing is damaged.\n"
      : `${damages.map(damageText).join("")}Damaged in ${damages.length} place(s)\n`;
  const notesText = notes.map((note) => `Note: ${note}.\n`).join("");
  return `${columns(["VERIFIED", subject], rows)}\n${notesText}${verdict}`;
}

function damageText({ offset, path, range, what }: Damage): string {
  const place = offset === undefined ? path : `${path} at offset ${offset}`;
  return `${place}: ${what}${range === undefined ? "" : ` (${range})`}\n`;
}
