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
    "Each of sixteen callers costs a recv, a send and a share of an epoll on the one thread that also " +
    "decides; etcd spreads its system calls over both cores. Tried and kept: syncs on that thread, " +
    "sixteen callers to a sync, and a log that is written into room made before.",
  "put 16x16":
    "A put takes 8 microseconds of processor here, 6 of them on the serving thread: a third of those the " +
    "member's JavaScript, a fifth rpc's and api's, a quarter the kernel's, the rest Bun's copies, hashes and " +
    "collections; flushes are a third of it. The thread is busy for four fifths of the time: it and the load " +
    "generator wait for each other, because answers leave with their batch. Tried and kept: larger memtables, " +
    "which saves a level of merges; a batch applied while the next is synced. Tried and left: syncs on the serving " +
    "thread, a tenth slower with so many callers. Not tried: flushes in a worker.",
  "put 64x10":
    "As put 16x16; and with four times the connections there are half as many answers to each send.",
  "mixed 16x4":
    "A read is answered at once and a put with its batch, so that most answers are a send of their own: " +
    "a quarter of the serving thread's time are sends. Our own client shares the cores.",
  "events of 1,000 watchers 16x4":
    "A put and its event take 12 microseconds of the serving thread, and for a quarter of the time it waits for " +
    "the syncs of 64 callers. Syncs on another thread, with two groups of callers that take turns, were a quarter " +
    "slower. Each event is a message and a frame of its own.",
  "rate of a bare server or log":
    "A put is read, decided, written to the log's frame, hashed, indexed twice in memory and later written " +
    "to a table, on the thread that serves the sockets; the bare server answers fixed bytes. Of the 8 " +
    "microseconds that a put costs, the bare server's share is 1.",
  "put p99 beside checkpoints, of quiet":
    "The AWS SDK hashes and copies the body of a table, up to 16 MB, in one piece on the event loop, " +
    "four tables at a time; the bucket of this measurement runs on the same two cores.",
  "cold restore of the database, of download":
    "The download ends when the bytes are in files that nobody syncs. The restore hashes each table, " +
    "syncs it, and makes about sixteen requests one after the other (list, manifest, lock, fence, log), " +
    "at 20 ms each.",
};
