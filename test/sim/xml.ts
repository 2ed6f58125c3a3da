/** The XML that an S3 server answers with. */
import type { ListedObject, ObjectVersion } from "../../src/object/store.ts";
import type { HttpAnswer } from "./http.ts";

const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';
const xml = { "content-type": "application/xml" };

/** An error with its S3 code. */
export function failure(status: number, code: string): HttpAnswer {
  const body = `${declaration}<Error><Code>${code}</Code><Message>by plan</Message></Error>`;
  return { status, headers: xml, body };
}

export function listXml(
  bucket: string,
  objects: readonly ListedObject[],
  hasMore: boolean,
): HttpAnswer {
  const contents = objects.map(
    ({ bytes, key, modifiedMs }) =>
      `<Contents><Key>${escaped(key)}</Key>${time(modifiedMs)}<Size>${bytes}</Size></Contents>`,
  );
  const next = hasMore
    ? `<NextContinuationToken>${escaped(objects.at(-1)?.key ?? "")}</NextContinuationToken>`
    : "";
  const body = `${declaration}<ListBucketResult><Name>${bucket}</Name>\
<IsTruncated>${hasMore}</IsTruncated>${next}${contents.join("")}</ListBucketResult>`;
  return { status: 200, headers: xml, body };
}

export function versionsXml(versions: readonly ObjectVersion[], hasMore: boolean): HttpAnswer {
  const items = versions.map(({ bytes, isDeletion, isLatest, key, modifiedMs, version }) => {
    const name = isDeletion ? "DeleteMarker" : "Version";
    const size = isDeletion ? "" : `<Size>${bytes}</Size>`;
    return `<${name}><Key>${escaped(key)}</Key><VersionId>${version}</VersionId>\
<IsLatest>${isLatest}</IsLatest>${time(modifiedMs)}${size}</${name}>`;
  });
  const last = versions.at(-1);
  const next =
    hasMore && last !== undefined
      ? `<NextKeyMarker>${escaped(last.key)}</NextKeyMarker>\
<NextVersionIdMarker>${last.version}</NextVersionIdMarker>`
      : "";
  const body = `${declaration}<ListVersionsResult><IsTruncated>${hasMore}</IsTruncated>\
${next}${items.join("")}</ListVersionsResult>`;
  return { status: 200, headers: xml, body };
}

function time(milliseconds: number): string {
  return `<LastModified>${new Date(milliseconds).toISOString()}</LastModified>`;
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
