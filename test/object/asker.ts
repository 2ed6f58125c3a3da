/**
 * A process that puts one object with the credentials it finds around it, and gets it back as often
 * as it is told:
 *
 *   bun test/object/asker.ts <endpoint> <gets>
 *
 * Prints "well", or what went wrong.
 */
import { S3Store } from "../../src/object/s3.ts";

const [endpoint = "", gets = "0"] = process.argv.slice(2);
const store = new S3Store({ bucket: "test", endpoint });
try {
  await store.put("k", Buffer.from("x"));
  for (let left = Number(gets); left > 0; left--) await store.get("k");
  process.stdout.write("well");
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : String(error));
}
process.exit(0);
