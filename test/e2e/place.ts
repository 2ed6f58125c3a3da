/** Buckets as a user of the program has them: a directory, and an S3 server. */
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { DirectoryStore } from "../../src/object/directory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { S3Store } from "../../src/object/s3.ts";
import { listAll, type ObjectStore } from "../../src/object/store.ts";
import type { RealS3 } from "../setup/s3.ts";
import { S3Server } from "../sim/s3.ts";
import { Client } from "../support/client.ts";
import { type Finished, type Running, runT4, startT4, temporaryDirectory } from "../support/t4.ts";

/** A bucket, and a directory for everything else of a test. */
export interface Place extends Disposable {
  readonly name: string;
  /** Of a prefix, as status shows it. */
  address(prefix: string): string;
  /** A prefix as the bucket has it: a place may be a part of one. */
  full(prefix: string): string;
  /** The flags that name a prefix of it. */
  flags(prefix: string): string[];
  /** Runs a command on a prefix of it. */
  t4(command: string, prefix: string, ...flags: string[]): Promise<Finished>;
  /** Starts a member on a prefix of it; `name` is of its directory. */
  start(name: string, prefix: string, ...flags: string[]): Promise<Running>;
  /** The keys below a prefix, in order. */
  keys(prefix: string): Promise<string[]>;
  /** What an object holds; empty when there is none. */
  text(key: string): Promise<string>;
  /** Replaces an object. */
  change(key: string, change: (bytes: Buffer) => Buffer): Promise<void>;
  /** A directory that no other place has. */
  path(name: string): string;
}

/** The two kinds of places. */
export const places: readonly (readonly [string, () => Place])[] = [
  ["a directory", directoryPlace],
  ["an S3 server", s3Place],
];

export function directoryPlace(): Place {
  const kept = temporaryDirectory();
  const bucket = `${kept.path}/bucket`;
  return placeOf("a directory", kept, {
    address: (prefix) => `file://${bucket}/${prefix}`,
    flags: (prefix) => [`--object-store=file://${bucket}`, `--s3-prefix=${prefix}`],
    store: new DirectoryStore({
      path: bucket,
      clock: new SystemClock(),
      random: new SystemRandom(),
    }),
    close: () => kept[Symbol.dispose](),
  });
}

export function s3Place(): Place {
  const kept = temporaryDirectory();
  const server = new S3Server({ versioned: true });
  const keys = ["--s3-access-key-id=key", "--s3-secret-access-key=secret"];
  const { bucket, endpoint } = server;
  return placeOf("an S3 server", kept, {
    address: (prefix) => `s3://${bucket}/${prefix}`,
    flags: (prefix) => [
      `--s3-bucket=${bucket}`,
      `--s3-prefix=${prefix}`,
      `--s3-endpoint=${endpoint}`,
      ...keys,
    ],
    store: server.objects,
    close: () => {
      server[Symbol.dispose]();
      kept[Symbol.dispose]();
    },
  });
}

/** On a server that runs, in a part of its bucket that no other place has. */
export function realPlace({ bucket, endpoint, keys, region }: RealS3): Place {
  const kept = temporaryDirectory();
  const own = `guide-${process.pid}-${++placesMade}/`;
  const whole = new S3Store({ bucket, endpoint, region, keys });
  return placeOf("an S3 server", kept, {
    address: (prefix) => `s3://${bucket}/${own}${prefix}`,
    flags: (prefix) => [
      `--s3-bucket=${bucket}`,
      `--s3-prefix=${own}${prefix}`,
      `--s3-endpoint=${endpoint}`,
      `--s3-region=${region}`,
      `--s3-access-key-id=${keys.accessKeyId}`,
      `--s3-secret-access-key=${keys.secretAccessKey}`,
    ],
    below: own,
    store: withPrefix(whole, own),
    close: () => kept[Symbol.dispose](),
  });
}

let placesMade = 0;

interface Kind {
  /** What the prefixes of this place stand below; ends with a slash. */
  readonly below?: string;
  address(prefix: string): string;
  flags(prefix: string): string[];
  /** The bucket itself. */
  readonly store: ObjectStore;
  close(): void;
}

function placeOf(name: string, { path }: { readonly path: string }, kind: Kind): Place {
  const { address, close, flags, store } = kind;
  return {
    name,
    address,
    full: (prefix) => `${kind.below ?? ""}${prefix}`,
    flags,
    t4: (command, prefix, ...rest) => runT4([...command.split(" "), ...flags(prefix), ...rest]),
    start: (directory, prefix, ...rest) =>
      startT4(`${path}/${directory}`, [...flags(prefix), ...rest]),
    keys: async (prefix) =>
      (await Array.fromAsync(listAll(store, prefix))).map(({ key }) => key.slice(prefix.length)),
    text: async (key) => (await store.get(key))?.bytes.toString() ?? "",
    change: async (key, change) => {
      const found = await store.get(key);
      await store.put(key, change(found?.bytes ?? Buffer.alloc(0)));
    },
    path: (directory) => `${path}/${directory}`,
    [Symbol.dispose]: close,
  };
}

/** Puts key=value, one after the other; the revision after the last. */
export async function put(t4: Running, ...pairs: (readonly [string, string])[]): Promise<number> {
  const client = new Client(t4.port);
  let revision = 0;
  for (const [key, value] of pairs) {
    const request = { key: Buffer.from(key), value: Buffer.from(value) };
    const { header } = await client.unary(KVDefinition).put(request);
    revision = header?.revision ?? 0;
  }
  client.close();
  return revision;
}

/** Every pair, as "key=value", and the revision. */
export async function pairsOf(t4: Running): Promise<{ pairs: string[]; revision: number }> {
  const client = new Client(t4.port);
  const { header, kvs } = await client
    .unary(KVDefinition)
    .range({ key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") });
  client.close();
  const pairs = kvs.map(({ key, value }) => `${Buffer.from(key)}=${Buffer.from(value)}`);
  return { pairs, revision: header?.revision ?? 0 };
}

/** Waits until something is so. */
export async function until(what: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await what()); tries++) {
    if (tries === 200) throw new Error("it does not come about");
    await Bun.sleep(50);
  }
}

/** Ends a member as a user does; what it owes the bucket is there then. */
export async function stop(t4: Running): Promise<void> {
  t4.signal("SIGTERM");
  await t4.exited;
}

/** The checkpoints of a prefix of a first leader, oldest first. */
export async function checkpointsOf(place: Place, prefix: string): Promise<string[]> {
  return (await place.keys(prefix)).filter((key) => key.endsWith("/manifest.json"));
}

/** Puts until there is one more checkpoint; the revision after it. */
export async function checkpoint(
  place: Place,
  t4: Running,
  prefix: string,
  key: string,
): Promise<number> {
  const before = (await checkpointsOf(place, prefix)).length;
  let revision = 0;
  // Members are started with --checkpoint-entries=3.
  for (let value = 0; value < 4; value++) revision = await put(t4, [key, `${value}`]);
  await until(async () => {
    const keys = await checkpointsOf(place, prefix);
    const latest = await place.text(`${prefix}manifest/latest`);
    return keys.length > before && latest.includes(keys.at(-1) ?? "");
  });
  return revision;
}
