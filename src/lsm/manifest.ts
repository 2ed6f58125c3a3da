/**
 * The manifest: which tables are live, and up to which position of the owner's log they hold
 * everything. One file, MANIFEST, replaced as a whole. Text, of two lines:
 *
 *   {"format_version":2,"position":…,"runs":[[{"hash":…,"bytes":…,"lane":"rest","rows":…,
 *     "deletions":…,"first":…,"last":…,"summary":{…}},…],…]}
 *   SHA-256 of the first line without its end, lower-case hex
 *
 * Runs stand newest first. Of a run, the fronts (run.ts) come first and have no "lane"; the tables of
 * a lane stand by their keys. First and last are keys in base64. "position" is whatever JSON the owner
 * gave, absent before the first flush. Format version 1 knew no lanes: all its tables are fronts.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, readWhole } from "../lib/disk.ts";
import { bothOf, type Lanes } from "./run.ts";
import { type ClaimsJson, claimsFromJson, claimsToJson } from "./table.ts";
import type { TableInfo } from "./tree.ts";

export const manifestName = "MANIFEST";

const formatVersion = 2;
const formatVersionMin = 1;

export interface Manifest<P> {
  readonly position: P | undefined;
  /** Newest first. */
  readonly runs: readonly Lanes<TableInfo>[];
}

interface TableJson extends ClaimsJson {
  readonly hash: string;
  readonly bytes: number;
  readonly lane?: "rest";
}

interface ManifestJson<P> {
  readonly format_version: number;
  readonly position?: P;
  readonly runs: readonly (readonly TableJson[])[];
}

/** All tables of a manifest. */
export function tablesIn({ runs }: Manifest<unknown>): readonly TableInfo[] {
  return runs.flatMap(bothOf);
}

/**
 * The position in the manifest in `directory`; undefined when there is none, or no flush has been.
 * CorruptionError, ForeignError, DiskError.
 */
export function readPosition<P>(disk: Disk, directory: string): P | undefined {
  const path = `${directory}/${manifestName}`;
  const bytes = readWhole(disk, path);
  return bytes && decodeManifest<P>(path, bytes).position;
}

export function encodeManifest<P>(manifest: Manifest<P>): Buffer {
  const { position, runs } = manifest;
  const json = {
    format_version: formatVersion,
    position,
    runs: runs.map(({ fronts, rest }) => [
      ...fronts.map((info) => tableToJson(info, undefined)),
      ...rest.map((info) => tableToJson(info, "rest")),
    ]),
  };
  const line = JSON.stringify(json);
  return Buffer.from(`${line}\n${sha256(line)}\n`);
}

/**
 * What the bytes found at `path` say. CorruptionError when they are not what was written,
 * ForeignError when a newer T4 wrote them.
 */
export function decodeManifest<P>(path: string, bytes: Buffer): Manifest<P> {
  const lineEnd = bytes.indexOf("\n");
  const line = bytes.subarray(0, Math.max(0, lineEnd));
  if (!bytes.subarray(line.length).equals(Buffer.from(`\n${sha256(line)}\n`))) {
    const hint = "restore the data directory from a backup or the bucket";
    throw new CorruptionError(path, 0, "its checksum is wrong", hint);
  }
  const json = JSON.parse(line.toString()) as ManifestJson<P>;
  const version = json.format_version;
  if (!(version >= formatVersionMin && version <= formatVersion)) {
    const what = `has format version ${version}, this version reads up to ${formatVersion}`;
    throw new ForeignError(path, what, "start the version of T4 that wrote it, or a newer one");
  }
  const runs = json.runs.map((tables) => ({
    fronts: tables.filter(({ lane }) => lane === undefined).map(tableFromJson),
    rest: tables.filter(({ lane }) => lane === "rest").map(tableFromJson),
  }));
  return { position: json.position, runs };
}

function tableToJson(info: TableInfo, lane: TableJson["lane"]): TableJson {
  const { bytes, hash } = info;
  return { hash, bytes, ...(lane && { lane }), ...claimsToJson(info) };
}

function tableFromJson(json: TableJson): TableInfo {
  const { bytes, hash } = json;
  return { hash, bytes, ...claimsFromJson(json) };
}
