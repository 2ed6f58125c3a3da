/** A real etcd of one member, on a directory and ports of its own. */
import fs from "node:fs";
import os from "node:os";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import type { EtcdTools } from "../setup/etcd.ts";
import { CallError, Client } from "./client.ts";
import { freePort } from "./port.ts";

export interface Etcd extends AsyncDisposable {
  /** Where clients reach it, on 127.0.0.1. */
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  /** Its exit code, once it has ended; a panic is not zero. */
  readonly exited: Promise<number>;
}

/**
 * Starts etcd with `flags` besides its addresses, and resolves once it answers reads. Its log goes
 * to a file in `dataDirectory`, a new one where none is given. Killed at the end of the scope.
 */
export async function startEtcd(
  tools: EtcdTools,
  flags: readonly string[] = [],
  dataDirectory?: string,
): Promise<Etcd> {
  const directory = dataDirectory ?? fs.mkdtempSync(`${os.tmpdir()}/t4-etcd-`);
  const [port, peerPort] = [await freePort(), await freePort()];
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const addresses = {
    "--data-dir": `${directory}/data`,
    "--listen-client-urls": client,
    "--advertise-client-urls": client,
    "--listen-peer-urls": peer,
    "--initial-advertise-peer-urls": peer,
    "--initial-cluster": `default=${peer}`,
  };
  const log = fs.openSync(`${directory}/log`, "a");
  const child = Bun.spawn([tools.etcd, ...Object.entries(addresses).flat(), ...flags], {
    env: { ...process.env, ...tools.environment },
    stdio: ["ignore", log, log],
  });
  fs.closeSync(log);
  await Promise.race([
    answering(port),
    child.exited.then((code) => {
      throw new Error(`etcd ended with ${code}: ${fs.readFileSync(`${directory}/log`, "utf8")}`);
    }),
  ]);
  return {
    port,
    pid: child.pid,
    version: tools.version,
    exited: child.exited,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
      if (dataDirectory === undefined) fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function answering(port: number): Promise<void> {
  const client = new Client(port);
  const { range } = client.unary(KVDefinition);
  try {
    for (;;) {
      try {
        await range({ key: Buffer.from("k") }, { deadlineMs: 1000 });
        return;
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
      }
    }
  } finally {
    client.close();
  }
}
