/**
 * A real etcd and a t4, each new and empty, that are told the same by etcdctl and must print the
 * same. What cannot be the same is masked: identities, terms, addresses, times. Leases are called
 * by names, because each side chooses its own ids.
 */
import { expect } from "bun:test";
import fs from "node:fs";
import { must } from "../../src/lib/assert.ts";
import { type EtcdTools, etcdTools, newestEtcdTools } from "../setup/etcd.ts";
import { Authority } from "../support/authority.ts";
import { startEtcd } from "../support/etcd.ts";
import { Etcdctl, type Session } from "../support/etcdctl.ts";
import { type Finished, startT4, temporaryDirectory } from "../support/t4.ts";

/** The etcdctl of this machine and, where it could be had, a newer one; each with its etcd. */
const toolsets = new Map([etcdTools(), newestEtcdTools()].map((tools) => [tools.version, tools]));
export const versions = [...toolsets.keys()];

const overTls = " over TLS";
/** What a pair may be driven by: each etcdctl, and the newest with TLS to t4. */
export const variants = [...versions, `${versions.at(-1)}${overTls}`];

/** Of a version, or of a variant. */
export function toolsOf(variant: string): EtcdTools {
  const version = variant.replace(overTls, "");
  return must(toolsets.get(version), "a version is one of those there are");
}

/** One of the two. */
export class Side {
  /** host:port. */
  readonly endpoint: string;
  readonly etcdctl: Etcdctl;
  /** Ids of leases, in hex, by their names. */
  readonly leases = new Map<string, string>();
  readonly #metrics: string;

  /** `flags` are etcdctl's. */
  constructor(tools: EtcdTools, endpoint: string, metrics: string, flags: readonly string[] = []) {
    this.endpoint = endpoint;
    this.etcdctl = new Etcdctl(tools, endpoint, flags);
    this.#metrics = metrics;
  }

  /** Resolves when this many watches are open. */
  async watching(count: number): Promise<void> {
    for (;;) {
      const metrics = await (await fetch(this.#metrics)).text();
      if (metrics.includes(`\netcd_debugging_mvcc_watcher_total ${count}\n`)) return;
      await Bun.sleep(5);
    }
  }
}

export class Pair implements AsyncDisposable {
  readonly etcd: Side;
  readonly t4: Side;
  readonly #resources: AsyncDisposableStack;

  /** Starts both, to be driven as the variant says. */
  static async start(variant: string): Promise<Pair> {
    const tools = toolsOf(variant);
    await using resources = new AsyncDisposableStack();
    const directory = resources.use(temporaryDirectory());
    // Without peers there is nobody to wait for: an election may be quick.
    const hurry = ["--heartbeat-interval=10", "--election-timeout=50"];
    const etcd = resources.use(await startEtcd(tools, hurry));
    const { client, server } = variant.endsWith(overTls)
      ? certificatesIn(directory.path)
      : { client: [], server: [] };
    const data = `${directory.path}/data`;
    const t4 = resources.use(await startT4(data, ["--node-id", "default", ...server]));
    const address = `127.0.0.1:${etcd.port}`;
    return new Pair(
      new Side(tools, address, `http://${address}/metrics`),
      new Side(tools, t4.endpoint, `${t4.pages}/metrics`, client),
      resources.move(),
    );
  }

  private constructor(etcd: Side, t4: Side, resources: AsyncDisposableStack) {
    this.etcd = etcd;
    this.t4 = t4;
    this.#resources = resources;
  }

  /** Runs a command line that goes well on both. `{name}` in it stands for a lease's id in hex. */
  async same(words: readonly string[], input?: string): Promise<Finished> {
    const finished = await this.#both(words, input);
    expect([words, finished.code]).toEqual([words, 0]);
    return finished;
  }

  /** Runs a command line that both refuse, with these words among what they say. */
  async refused(words: readonly string[], because: string, input?: string): Promise<void> {
    const finished = await this.#both(words, input);
    expect([words, finished.code === 0]).toEqual([words, false]);
    const said = `${finished.stdout}${finished.stderr}`;
    expect([words, said]).toEqual([words, expect.stringContaining(because)]);
  }

  /** Grants a lease on both, to be called `name` from now on. */
  async grant(name: string, ttlSeconds: number): Promise<void> {
    for (const side of [this.etcd, this.t4]) {
      const { stdout } = await side.etcdctl.run(["lease", "grant", `${ttlSeconds}`]);
      const id = /^lease ([0-9a-f]{16}) granted with TTL\((\d+)s\)\n$/.exec(stdout)?.[1];
      if (id === undefined) throw new Error(`no lease was granted: ${stdout}`);
      side.leases.set(name, id);
    }
  }

  /**
   * Starts a command that goes on, on both, and hands the sessions to `drive` one after the other.
   * What both printed when that is done must be the same, and is returned.
   */
  async sameSession(
    words: readonly string[],
    drive: (session: Session, side: Side) => Promise<void>,
  ): Promise<string> {
    const outputs: string[] = [];
    for (const side of [this.etcd, this.t4]) {
      await using session = side.etcdctl.open(words.map((word) => named(word, side)));
      await drive(session, side);
      outputs.push(masked(session.output, side));
    }
    const [etcd, t4] = outputs as [string, string];
    expect([words, t4]).toEqual([words, etcd]);
    return t4;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async #both(words: readonly string[], input: string | undefined): Promise<Finished> {
    const run = async (side: Side): Promise<Finished> => {
      const own = words.map((word) => named(word, side));
      const { code, stderr, stdout } = await side.etcdctl.run(own, input && named(input, side));
      return { code, stderr: masked(withoutLog(stderr), side), stdout: masked(stdout, side) };
    };
    const [etcd, t4] = await Promise.all([run(this.etcd), run(this.t4)]);
    expect([words, t4]).toEqual([words, etcd]);
    return t4;
  }
}

/** Puts a side's own ids in the places of names. */
function named(text: string, { leases }: Side): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const id = leases.get(name);
    if (id === undefined) throw new Error(`no lease is called ${name}`);
    return id;
  });
}

/** etcdctl's own log lines, which tell addresses and times; errors are told besides. */
function withoutLog(text: string): string {
  return text.replace(/^\{"level":.*\n/gm, "");
}

const masks: readonly [RegExp, string][] = [
  [/"(cluster_id|member_id|raft_term|leader|raftTerm|raftIndex|raftAppliedIndex)":\d+/g, '"$1":#'],
  [/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : #'],
  [/(took =|"Took" :) [\d.]+[a-zµ]+/g, "$1 #"],
  [/"took":"[^"]+"/g, '"took":"#"'],
];

function masked(text: string, { endpoint, leases }: Side): string {
  let plain = text.replaceAll(endpoint, "<endpoint>").replaceAll("https://", "http://");
  for (const [mask, instead] of masks) plain = plain.replace(mask, instead);
  for (const [name, id] of leases) {
    plain = plain.replaceAll(id, `{${name}}`).replaceAll(`${BigInt(`0x${id}`)}`, `{${name}}`);
  }
  return plain;
}

/** Makes certificates in `directory`; the flags that name them, for etcdctl and for t4. */
function certificatesIn(directory: string) {
  const authority = Authority.root("authority");
  const { certificate, key } = authority.issue("server");
  const files = { ca: authority.certificate, certificate, key };
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(`${directory}/${name}`, text);
  return {
    client: ["--cacert", `${directory}/ca`],
    server: [
      "--client-tls-cert",
      `${directory}/certificate`,
      "--client-tls-key",
      `${directory}/key`,
    ],
  };
}
