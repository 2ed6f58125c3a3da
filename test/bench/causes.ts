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
  "put 1x1":
    "One caller waits for recv, pwrite, fdatasync and send, and strace shows no other call: four fifths of " +
    "his time are the disk's and the kernel's, for etcd too. The sync of a lone caller is made on the " +
    "serving thread, which saves waking another; what is left is the disk.",
  "put 16x1":
    "Each of sixteen callers costs a recv, a send and a share of an epoll: 25 of the 40 microseconds that a " +
    "put takes here, on the one thread that also decides; etcd spreads its system calls over both cores. " +
    "Tried and kept: syncing on that thread for up to 32 callers, and answering them before the next sync, " +
    "so that they share it. One system call for many " +
    "sockets is what Bun does not offer.",
  "put 16x16":
    "The serving thread is busy for 7 of the 10 microseconds of a put: a third of them the member's " +
    "JavaScript, a fifth rpc's and api's, a quarter the kernel's, the rest Bun's copies, hashes and " +
    "collections. The load generator and the syncs have the other core, and etcd, which costs four times " +
    "the processor time, gets all that the generator leaves it there. A second " +
    "thread for the sockets was not tried.",
  "put 64x10":
    "As put 16x16: the serving thread is full, and the other core has the load generator.",
  "mixed 16x4":
    "A read is answered at once and a put with its batch, so that most answers are a send of their own: " +
    "a quarter of the serving thread's time are sends. Our own client shares the cores.",
  "range of 100 keys 16x1":
    "This has not been profiled. A range steps over the old versions of each key that compaction has not removed: after the warm-up " +
    "and the puts there are dozens of each key and a million of one. etcd keeps the newest of each in " +
    "memory. Without that history the ratio is 2.4. A scan that seeks to the next key instead is what " +
    "would change it.",
  "events of 1,000 watchers 16x4":
    "Our own client makes the puts, takes the events and checks them, in one thread that is as busy as the " +
    "server's: it is what ends both. Each event is a message and a frame of its own.",
  "rate of a bare server or log":
    "A put is read, decided, written to the log's frame, hashed, indexed twice in memory and later written " +
    "to a table, on the thread that serves the sockets; the bare server answers fixed bytes. Of the 10 " +
    "microseconds that a put costs, the bare server's share is 1.",
  "put p99 beside checkpoints, of quiet":
    "The AWS SDK hashes and copies the body of a table, up to 16 MB, in one piece on the event loop, " +
    "four tables at a time; the bucket of this measurement runs on the same two cores.",
  "cold restore of the database, of download":
    "The download ends when the bytes are in files that nobody syncs. The restore hashes each table, " +
    "syncs it, and makes about sixteen requests one after the other (list, manifest, lock, fence, log), " +
    "at 20 ms each.",
};
