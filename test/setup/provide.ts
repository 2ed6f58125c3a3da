/**
 * Makes sure that real etcd and etcdctl are there. What is on PATH will do. On Debian and its kin
 * the packages are unpacked into node_modules/.cache (see apt.ts).
 */
import { unpack } from "./apt.ts";
import { type EtcdTools, etcdCache, newestEtcdTools, onPath, unpacked } from "./etcd.ts";

const packages = ["etcd-server", "etcd-client"];

/** Resolves when etcd is there, having told `say` what was done; an Error says what to install. */
export function provideEtcd(say: (line: string) => void): void {
  const own = onPath() ?? unpacked("own") ?? provideOwn(say);
  say(`etcd ${own.version} at ${own.etcd}`);
  if (unpacked("newest") === undefined) provideNewest(say);
  const newest = newestEtcdTools();
  if (newest.etcd !== own.etcd) say(`etcd ${newest.version} at ${newest.etcd}`);
}

function provideOwn(say: (line: string) => void): EtcdTools {
  if (process.platform === "darwin") return provideByBrew(say);
  const failure = unpack(`${etcdCache}/own`, ["download", ...packages]);
  const found = unpacked("own");
  if (found !== undefined) return found;
  throw new Error(`tests need etcd and etcdctl on PATH, and they could not be fetched (${failure});
install them: apt-get install ${packages.join(" ")}, or your system's packages of etcd`);
}

function provideByBrew(say: (line: string) => void): EtcdTools {
  const advice = "tests need etcd and etcdctl on PATH; install them: brew install etcd";
  if (Bun.which("brew") === null) throw new Error(advice);
  say("brew install etcd");
  Bun.spawnSync(["brew", "install", "--quiet", "etcd"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const found = onPath();
  if (found === undefined) throw new Error(advice);
  return found;
}

/** A closer etcd is a gain and no need: where it cannot be had, that is said and tests go on. */
function provideNewest(say: (line: string) => void): void {
  if (process.platform !== "linux") return;
  const failure = unpack(`${etcdCache}/newest`, ["download", ...packages], "testing");
  if (failure !== undefined) say(`no newer etcd to compare with: ${failure}`);
}
