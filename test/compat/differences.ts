/**
 * Where an etcd we compare with is older than the one we are equal to, and answers otherwise. One
 * entry is one change of etcd's; an entry that applies to one of them and was not met fails the run.
 */
import type { Plain } from "./plain.ts";

export interface Meeting {
  /** Version of the etcd that answered. */
  readonly version: string;
  /** The method, or what a watch stream told. */
  readonly what: string;
  readonly request: object;
  readonly t4: Plain;
  readonly etcd: Plain;
}

export interface Difference {
  readonly what: string;
  /** The requests that are answered otherwise. */
  readonly condition: (request: Plain) => boolean;
  /** What the older etcd answers. */
  readonly etcd: (answer: Plain, meeting: Meeting) => boolean;
  /** What the newer one does, and T4. */
  readonly t4: (answer: Plain, meeting: Meeting) => boolean;
  readonly why: string;
  /** The releases that changed it, oldest line first. */
  readonly changedIn: readonly string[];
  /** The two go on from it differently: a random run leaves such requests out. */
  readonly diverges?: true;
}

export const differences: readonly Difference[] = [
  {
    what: "Range",
    condition: hasUnknownOrder,
    etcd: (answer) => isUnsorted(answer) || revisionRefusals.some((isIt) => isIt(answer)),
    t4: isRefusal(3, "etcdserver: invalid sort option"),
    why: "a sort order that is not known is refused; it was taken for none",
    changedIn: ["3.6.0"],
  },
  {
    what: "Txn",
    condition: ({ failure, success }) =>
      [...success, ...failure].some(({ request }) => hasUnknownOrder(request?.requestRange)),
    etcd: ({ code, response }) =>
      code === 0 &&
      response.responses.every((each: Plain) =>
        isUnsorted({ code, response: each.response.responseRange }),
      ),
    t4: isRefusal(3, "etcdserver: invalid sort option"),
    why: "so is it in a transaction",
    changedIn: ["3.6.0"],
    diverges: true,
  },
  {
    what: "watch",
    condition: ({ startRevision }) => startRevision < 0,
    etcd: ({ canceled, cancelReason, created }) => created && !canceled && cancelReason === "",
    t4: ({ canceled, cancelReason, created, watchId }) =>
      created &&
      canceled &&
      watchId === -1n &&
      cancelReason === "etcdserver: mvcc: required revision has been compacted",
    why: "a watch from a negative revision is refused; it kept others from catching up",
    changedIn: ["3.5.24", "3.6.6"],
    diverges: true,
  },
  {
    what: "progressInVain",
    condition: () => true,
    etcd: (revisions) => Bun.deepEquals(revisions, [-1, 0]),
    t4: (revisions) => Bun.deepEquals(revisions, [0]),
    why: "progress is told only when every watch of a stream, and at least one, has heard everything",
    changedIn: ["3.4.25", "3.5.8"],
  },
  {
    what: "notified",
    condition: () => true,
    etcd: (told) => Bun.deepEquals(watchesOf(told), [1n, 2n]),
    t4: (told) => Bun.deepEquals(watchesOf(told), [1n]),
    why: "a watch that is yet to begin is not told how far it is",
    changedIn: ["3.4.25", "3.5.8"],
  },
  {
    what: "replay",
    condition: ({ compactRevision, startRevision }) => startRevision === compactRevision,
    etcd: (events) =>
      Bun.deepEquals(
        events.map(({ type }: Plain) => type),
        [0],
      ),
    t4: (events) =>
      Bun.deepEquals(
        events.map(({ type }: Plain) => type),
        [1, 0],
      ),
    why: "a deletion at the compacted revision itself is kept, for watches from there",
    changedIn: ["3.4.34", "3.5.16"],
  },
  {
    what: "bytes",
    condition: ({ path }) => path.lastIndexOf("/") === 0,
    etcd: (answer, { request }) => isRefusal(8, malformedPath(request))(answer),
    t4: (answer, { request }) => isRefusal(12, malformedPath(request))(answer),
    why: "the gRPC library it is built with calls a method without a service unimplemented",
    changedIn: ["3.5.0"],
  },
  {
    what: "streamBytes",
    condition: () => true,
    etcd: isRefusal(13, "grpc: failed to unmarshal the received message …"),
    t4: isRefusal(13, "grpc: failed to unmarshal the received message: …"),
    why: "the gRPC library it is built with puts a colon before the reason",
    changedIn: ["3.5.10"],
  },
];

function hasUnknownOrder(range: Plain): boolean {
  return range?.sortOrder < 0 || range?.sortOrder > 2;
}

/** What a range is refused with that looks at its revision before its order. */
const revisionRefusals = [
  isRefusal(11, "etcdserver: mvcc: required revision is a future revision"),
  isRefusal(11, "etcdserver: mvcc: required revision has been compacted"),
];

/** Whether a range was answered in the order of its keys. */
function isUnsorted({ code, response }: Plain): boolean {
  if (code !== 0) return false;
  // Ties are counted or put together where there are many (see settleTies).
  const pairs = [response.kvs].flat(2).filter((pair: Plain) => typeof pair === "object");
  const keys = pairs.map(({ key }: Plain) => key);
  return Bun.deepEquals(keys, keys.toSorted());
}

/** The watches that were told something. */
function watchesOf(told: Plain): bigint[] {
  const ids = told.map(({ watchId }: Plain) => watchId as bigint);
  return [...new Set<bigint>(ids)].sort((a, b) => Number(a - b));
}

function malformedPath(request: Plain): string {
  return `malformed method name: ${JSON.stringify(request.path)}`;
}

function isRefusal(code: number, message: string) {
  return (answer: Plain) => answer.code === code && answer.message === message;
}

export function explain(meeting: Meeting): Difference | undefined {
  return differences.find(
    ({ changedIn, condition, etcd, t4, what }) =>
      what === meeting.what &&
      isOlder(meeting.version, changedIn) &&
      condition(meeting.request) &&
      etcd(meeting.etcd, meeting) &&
      t4(meeting.t4, meeting),
  );
}

/** Whether an etcd of `version` goes on differently after a request. */
export function diverges(version: string, what: string, request: object): boolean {
  return differences.some(
    (known) =>
      known.diverges &&
      known.what === what &&
      isOlder(version, known.changedIn) &&
      known.condition(request),
  );
}

/** Whether `version` is from before a change, which came with these releases of several lines. */
export function isOlder(version: string, changedIn: readonly string[]): boolean {
  const line = (release: string) => release.split(".").slice(0, 2).join(".");
  const same = changedIn.find((release) => line(release) === line(version));
  const first = same ?? changedIn[0] ?? version;
  return Bun.semver.order(version, first) < 0;
}
