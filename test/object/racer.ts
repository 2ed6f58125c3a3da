/**
 * A process that races others for the objects of one directory:
 *
 *   bun test/object/racer.ts <directory> <name> <keys> <counts>
 *
 * Says "ready", waits for a line, then puts each of the keys if absent and counts a shared counter
 * up by put-if-match. Ends with one line of JSON: the keys it won.
 */
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { DirectoryStore } from "../../src/object/directory.ts";

const [path = "", name = "", keys = "", counts = ""] = process.argv.slice(2);
const store = new DirectoryStore({ path, clock: new SystemClock(), random: new SystemRandom() });
await store.get("warm");
process.stdout.write("ready\n");
for await (const _line of console) break;

const won: string[] = [];
for (let at = 0; at < Number(keys); at++) {
  const key = `wal/${at}/x`;
  if ((await store.putIfAbsent(key, Buffer.from(name))) !== undefined) won.push(key);
  // Directories come and go while others put into them.
  await store.put(`own/${name}/${at % 2}/x`, Buffer.from("x"));
  await store.delete(`own/${name}/${at % 2}/x`);
}
for (let left = Number(counts); left > 0; ) {
  const object = await store.get("counter");
  const next = Number.parseInt(object?.bytes.toString() ?? "", 10) + 1;
  const bytes = Buffer.from(`${next} ${name}.${left}`);
  if ((await store.putIfMatch("counter", bytes, object?.tag ?? "")) !== undefined) left--;
}
process.stdout.write(`${JSON.stringify(won)}\n`);
process.exit(0);
