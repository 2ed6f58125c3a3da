/**
 * The real etcd that tests compare with and drive T4 by. Two of them: the one of this machine (on
 * PATH, or its distribution's) and the newest that can be had, which behaves more like the etcd we
 * are equal to. test/setup/provide.ts puts them there; here they are only found.
 */
import fs from "node:fs";

export interface EtcdTools {
  /** Paths of the server and of its command-line client. */
  readonly etcd: string;
  readonly etcdctl: string;
  /** Such as "3.4.23". */
  readonly version: string;
  /** What both need in their environment on this machine. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Where packages are unpacked: out of the way of the system, gone with node_modules. */
export const etcdCache = "node_modules/.cache/etcd";

/** This machine's etcd; an Error that says what to do when there is none. */
export function etcdTools(): EtcdTools {
  const found = onPath() ?? unpacked("own");
  if (found === undefined) {
    throw new Error("no etcd here: `bun run test` fetches it; or install etcd-server, etcd-client");
  }
  return found;
}

/** The newest etcd that was to be had: at least as new as `etcdTools()`. */
export function newestEtcdTools(): EtcdTools {
  const own = etcdTools();
  const newest = unpacked("newest");
  if (newest === undefined) return own;
  return Bun.semver.order(newest.version, own.version) > 0 ? newest : own;
}

/** etcd and etcdctl on PATH; undefined unless both are there. */
export function onPath(): EtcdTools | undefined {
  const etcd = Bun.which("etcd");
  const etcdctl = Bun.which("etcdctl");
  return etcd === null || etcdctl === null ? undefined : tools(etcd, etcdctl);
}

/** Those unpacked into the cache under `name`. */
export function unpacked(name: "own" | "newest"): EtcdTools | undefined {
  const bin = `${process.cwd()}/${etcdCache}/${name}/usr/bin`;
  const [etcd, etcdctl] = [`${bin}/etcd`, `${bin}/etcdctl`];
  return fs.existsSync(etcd) && fs.existsSync(etcdctl) ? tools(etcd, etcdctl) : undefined;
}

function tools(etcd: string, etcdctl: string): EtcdTools {
  // etcd 3.4 refuses to start on arm64 unless told that one knows.
  const environment: Record<string, string> =
    process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};
  const { stdout } = Bun.spawnSync([etcd, "--version"], {
    env: { ...process.env, ...environment },
  });
  const version = /etcd Version: (\S+)/.exec(stdout.toString())?.[1];
  if (version === undefined) throw new Error(`${etcd} --version did not tell a version`);
  return { etcd, etcdctl, version, environment };
}
