/**
 * BUCKET, in the data directory: which bucket holds what this directory has acknowledged, so that a
 * start without it is not mistaken for a whole database. Two lines of text:
 *
 *   {"format_version":1,"address":"s3://…","member":true}
 *   SHA-256 of the first line without its end, lower-case hex
 *
 * `member`: writes were acknowledged when the bucket had them, so the directory's log may end with
 * some that never were. False: the directory alone holds everything acknowledged.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, readWhole, removeIfThere, replaceWhole } from "../lib/disk.ts";

export interface Bond {
  /** For people: where the bucket is. */
  readonly address: string;
  readonly member: boolean;
}

const formatVersion = 1;

/** The note in the data directory `path`; undefined when there is none. CorruptionError, ForeignError. */
export function readBond(disk: Disk, path: string): Bond | undefined {
  const file = nameIn(path);
  const bytes = readWhole(disk, file);
  if (bytes === undefined) return undefined;
  const [line = "", ...rest] = bytes.toString("utf8").split("\n");
  if (rest.join("\n") !== `${sha256(line)}\n`) {
    throw new CorruptionError(file, 0, "its checksum is wrong", "restore it from a copy");
  }
  const { address, format_version: version, member } = JSON.parse(line) as Record<string, unknown>;
  if (version !== formatVersion) {
    const what = `has format version ${version}, this T4 reads ${formatVersion}`;
    throw new ForeignError(file, what, "start the version of T4 that wrote it, or a newer one");
  }
  return { address: String(address), member: member === true };
}

/** Notes it, durably, if it is not noted yet. DiskError. */
export async function writeBond(disk: Disk, path: string, bond: Bond): Promise<void> {
  const { address, member } = bond;
  const line = JSON.stringify({ format_version: formatVersion, address, member });
  const bytes = Buffer.from(`${line}\n${sha256(line)}\n`);
  if (readWhole(disk, nameIn(path))?.equals(bytes)) return;
  await replaceWhole(disk, nameIn(path), bytes);
}

/** Takes the note away, durably: the directory is all there is. DiskError. */
export async function removeBond(disk: Disk, path: string): Promise<void> {
  removeIfThere(disk, nameIn(path));
  await disk.syncDirectory(path);
}

function nameIn(path: string): string {
  return `${path}/BUCKET`;
}
