/** A member whose bucket is the S3 server of the benchmarks, and what it asks of it. */
import { SystemClock } from "../../src/lib/clock.ts";
import { noHistogram } from "../../src/lib/meter.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import type { CheckpointCauses } from "../../src/member/checkpoint.ts";
import type { Member, MemberOptions } from "../../src/member/member.ts";
import { tablePrefix } from "../../src/object/keys.ts";
import { type OpenStore, openStore } from "../../src/object/location.ts";
import {
  type StoreMeters,
  type StoreOperation,
  storeOperations,
} from "../../src/object/metered.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { cloudBucket, cloudKeys } from "./cloud.ts";
import { openMember } from "./member.ts";

/** Requests since the opening; a list costs as much as a put, and a delete nothing. */
export class Requests {
  puts = 0;
  gets = 0;

  readonly meters = Object.fromEntries(
    storeOperations.map((operation) => {
      const counter = { add: (amount: number) => this.#add(operation, amount) };
      return [operation, { successes: counter, errors: counter, seconds: noHistogram }];
    }),
  ) as StoreMeters;

  #add(operation: StoreOperation, amount: number): void {
    if (operation === "get" || operation === "get_etag") this.gets += amount;
    else if (operation !== "delete") this.puts += amount;
  }
}

/** The store of one database on that server, as `t4 run` opens it. */
export function openCloudStore(endpoint: string, prefix: string, requests = new Requests()) {
  return openStore({
    location: { kind: "s3", bucket: cloudBucket, prefix: "" },
    prefix,
    s3: { endpoint, keys: { ...cloudKeys, sessionToken: undefined } },
    clock: new SystemClock(),
    random: new SystemRandom(),
    meters: requests.meters,
  });
}

export interface DepositOptions {
  readonly directory: string;
  readonly endpoint: string;
  readonly prefix: string;
}

export interface Deposit {
  readonly member: Member;
  readonly open: OpenStore;
  readonly requests: Requests;
  /** Bytes of all tables put so far. */
  readonly uploadedBytes: () => number;
  /** Whether checkpoints are made; at first only the one that every leader begins with. */
  setCheckpoints(on: boolean): void;
  /** Puts the log at rest into a checkpoint; resolves when it is there. */
  checkpoint(): Promise<void>;
}

/** Opens a member, with the limits of `t4 run`, on a directory and that server. */
export async function openDeposit(options: DepositOptions): Promise<Deposit> {
  const { directory, endpoint, prefix } = options;
  const requests = new Requests();
  const open = openCloudStore(endpoint, prefix, requests);
  let uploadedBytes = 0;
  const store = countingPuts(open.store, (key, bytes) => {
    if (key.startsWith(tablePrefix)) uploadedBytes += bytes;
  });
  const causes = { intervalMs: 0, entries: 0, logBytes: 0, objects: 0 };
  const member = await openMember(directory, bucketOf(store, open, causes));
  const reached = () => member.vitals().bucket?.checkpointIndex;
  const setCheckpoints = (on: boolean) => {
    causes.entries = on ? 1 : 0;
    if (on) member.wake("checkpoint");
  };
  return {
    member,
    open,
    requests,
    uploadedBytes: () => uploadedBytes,
    setCheckpoints,
    checkpoint: async () => {
      setCheckpoints(true);
      await untilTrue(() => reached() === member.vitals().appliedIndex);
      setCheckpoints(false);
    },
  };
}

function bucketOf(store: ObjectStore, open: OpenStore, causes: CheckpointCauses) {
  const bucket: NonNullable<MemberOptions["bucket"]> = {
    store,
    storeAt: open.storeAt,
    syncUpload: true,
    // A lease would keep whoever opens the same prefix next waiting.
    strictReads: true,
    address: "",
    place: () => "bench",
    branch: undefined,
    batchDelayMs: 0,
    causes,
    lookEveryMs: 300_000,
    localBytesMax: 2 ** 30,
  };
  return bucket;
}

const lookMs = 5;

/** Resolves once it is true. */
export async function untilTrue(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(lookMs);
}

function countingPuts(store: ObjectStore, count: (key: string, bytes: number) => void) {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...given: unknown[]) => {
        const [key, bytes] = given;
        if (name === "put") count(String(key), (bytes as Uint8Array).length);
        return value.apply(target, given);
      };
    },
  });
}
