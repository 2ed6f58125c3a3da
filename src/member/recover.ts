/**
 * Start-up of one member, in this order; each step stands on the one before. With a bucket, join.ts
 * decides what of the directory counts, and puts its own steps between these:
 *
 *   1 directory   locked, ours, not newer
 *   2 tables      what the manifest names is there and whole, up to its checkpoint
 *   3 log         entries after the checkpoint are replayed into the store; the log is then whole,
 *                 durable, and continues in a new segment
 *
 * Whatever is damaged stops it with file and offset; nothing is skipped.
 */
import { removeBond } from "./bond.ts";
import { openDirectory } from "./directory.ts";
import { join } from "./join.ts";
import { planFor } from "./refuse.ts";
import { openRooms, type RecoverOptions, type Rooms } from "./rooms.ts";
import { lookAlone } from "./sight.ts";

/** Opens the rooms of a member. On an error everything opened is closed again. */
export async function recover(options: RecoverOptions): Promise<Rooms> {
  const { bucket, dataDirectory, disk, onStep, random } = options;
  onStep({ name: "directory", done: 0, total: 0 });
  if (bucket !== undefined) return await join(options, bucket);
  const directory = await openDirectory(disk, dataDirectory, random);
  try {
    const sight = lookAlone(disk, directory);
    await planFor(sight, directory, undefined);
    // From now on the directory has what its bucket has not, and is a database of its own.
    if (sight.bond !== undefined) await removeBond(disk, directory.path);
    return await openRooms(options, directory);
  } catch (error) {
    directory.lock.release();
    throw error;
  }
}
