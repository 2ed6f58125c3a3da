/** The two servers that are compared, started alike: a process, a directory, a port. */
import fs from "node:fs";
import net from "node:net";
import type { EtcdTools } from "../setup/etcd.ts";
import { Connection } from "./connection.ts";
import { paths, rangeRequest } from "./requests.ts";

export type ContenderName = "etcd" | "t4";

export interface Contender {
  readonly name: ContenderName;
  /**
   * Starts it on a directory, new or used, with these flags beside its own, and resolves with the
   * first read that it answers.
   */
  start(directory: string, flags?: readonly string[]): Promise<Server>;
}

export interface Server extends AsyncDisposable {
  readonly port: number;
  /** Where the page /metrics is. */
  readonly metricsPort: number;
  readonly pid: number;
  /** From the start of the process to the answer of the first read. */
  readonly startSeconds: number;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** How long a server may take until it answers. */
const startMsMax = 120_000;
/** Between two tries to reach a server that starts. */
const retryMs = 2;

/** etcd as it comes, but for the quota on its size, which these loads would hit. */
export function etcdContender(tools: EtcdTools): Contender {
  return {
    name: "etcd",
    start: async (directory, more = []) => {
      const [port, peerPort] = [await freePort(), await freePort()];
      const client = `http://127.0.0.1:${port}`;
      const peer = `http://127.0.0.1:${peerPort}`;
      const flags = {
        "--data-dir": directory,
        "--listen-client-urls": client,
        "--advertise-client-urls": client,
        "--listen-peer-urls": peer,
        "--initial-advertise-peer-urls": peer,
        "--initial-cluster": `default=${peer}`,
        "--quota-backend-bytes": `${8 * 2 ** 30}`,
      };
      const command = [tools.etcd, ...Object.entries(flags).flat(), ...more];
      const ports = { port, metricsPort: port };
      return await start(command, directory, ports, { ...process.env, ...tools.environment });
    },
  };
}

/** T4 as it comes; `binary` is what `bun run build` makes. */
export function t4Contender(binary: string): Contender {
  return {
    name: "t4",
    start: async (directory, more = []) => {
      const [port, metricsPort] = [await freePort(), await freePort()];
      const flags = {
        "--data-dir": directory,
        "--listen": `127.0.0.1:${port}`,
        "--metrics-addr": `127.0.0.1:${metricsPort}`,
      };
      const { HOME, PATH } = process.env;
      const command = [binary, "run", ...Object.entries(flags).flat(), ...more];
      return await start(command, directory, { port, metricsPort }, { HOME, PATH });
    },
  };
}

async function start(
  command: string[],
  directory: string,
  ports: Pick<Server, "port" | "metricsPort">,
  environment: Record<string, string | undefined>,
): Promise<Server> {
  const logPath = `${directory}.log`;
  const log = fs.openSync(logPath, "a");
  const started = performance.now();
  const child = Bun.spawn(command, { env: environment, stdio: ["ignore", log, log] });
  fs.closeSync(log);
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  try {
    await answering(ports.port, started + startMsMax, () => child.exitCode !== null);
  } catch (error) {
    await kill();
    throw new Error(`${command[0]}: ${error}\n${fs.readFileSync(logPath, "utf8")}`);
  }
  const startSeconds = (performance.now() - started) / 1000;
  return { ...ports, pid: child.pid, startSeconds, kill, [Symbol.asyncDispose]: kill };
}

async function answering(port: number, deadline: number, ended: () => boolean): Promise<void> {
  for (;;) {
    try {
      const connection = await Connection.open(port);
      await connection.call(paths.range, rangeRequest("k")).finally(() => connection.close());
      return;
    } catch (error) {
      if (ended()) throw new Error("it ended", { cause: error });
      if (performance.now() > deadline) throw error;
      await Bun.sleep(retryMs);
    }
  }
}

/** A port that nobody listens on at the moment. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const listener = net.createServer();
    listener.on("error", reject);
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as net.AddressInfo;
      listener.close(() => resolve(port));
    });
  });
}
