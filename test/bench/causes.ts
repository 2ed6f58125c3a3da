/**
 * Why a target is missed, where it is: by the target's name, or what stands in it before a comma. The
 * targets beside etcd have the names of their workloads.
 */
export const causes: Readonly<Record<string, string>> = {
  "put rate with all keys, of empty":
    "An empty store has nothing to merge. With a million keys each row is written several times more " +
    "by merges, on the one thread that also decides, encodes and applies; and a put looks its key up in " +
    "several runs. Through the port, where the transport takes most of the time, the same ratio is the " +
    'one of "million". Merging in a worker is what would change it.',
  "memory after that, etcd's":
    "A range of a million keys in one response is held as messages, encoded as one buffer, and framed by " +
    "@grpc/grpc-js before the first byte is sent. In the member itself the range takes less than etcd's. A server that " +
    "writes a response in pieces is what would change it.",
  "put p99 beside checkpoints, of quiet":
    "The AWS SDK hashes and copies the body of a table, up to 16 MB, in one piece on the event loop, " +
    "four tables at a time; the bucket of this measurement runs on the same two cores.",
  "cold restore of the database, of download":
    "The download ends when the bytes are in files that nobody syncs. The restore hashes each table, " +
    "syncs it, and makes about sixteen requests one after the other (list, manifest, lock, fence, log), " +
    "at 20 ms each.",
};
