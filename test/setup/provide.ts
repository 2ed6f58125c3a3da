/**
 * Makes sure that real etcd and etcdctl are there. What is on PATH will do. On Debian and its kin
 * the packages are downloaded by apt and unpacked into node_modules/.cache, not installed: that
 * needs no root and starts no service. apt gets its lists, its cache and its sources from a private
 * directory, so the system's own stay as they are; it checks signatures as always.
 */
import fs from "node:fs";
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
  const failure = unpack("own", undefined);
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
  const failure = unpack("newest", "testing");
  if (failure !== undefined) say(`no newer etcd to compare with: ${failure}`);
}

/**
 * Unpacks the packages of `suite`, or of the release this machine runs, under `name`. Returns the
 * reason when it could not.
 */
function unpack(name: "own" | "newest", suite: string | undefined): string | undefined {
  if (Bun.which("apt-get") === null || Bun.which("dpkg-deb") === null) return "there is no apt-get";
  const source = distributionSource(suite);
  if (source === undefined) return "apt's sources name no archive of the distribution";
  const directory = `${process.cwd()}/${etcdCache}/apt-${name}`;
  const target = `${process.cwd()}/${etcdCache}/${name}`;
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(`${directory}/state/lists/partial`, { recursive: true });
  fs.mkdirSync(`${directory}/cache/archives/partial`, { recursive: true });
  fs.writeFileSync(`${directory}/etcd.sources`, source);
  const failure =
    apt(directory, ["update"]) ??
    apt(directory, ["download", ...packages]) ??
    extract(directory, `${target}.new`);
  if (failure === undefined) {
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(`${target}.new`, target);
  }
  fs.rmSync(directory, { recursive: true, force: true });
  return failure;
}

function apt(directory: string, command: string[]): string | undefined {
  const settings = [
    `Dir::State=${directory}/state`,
    "Dir::State::status=/var/lib/dpkg/status",
    `Dir::Cache=${directory}/cache`,
    `Dir::Etc::sourcelist=${directory}/etcd.sources`,
    "Dir::Etc::sourceparts=/dev/null",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::http::Timeout=20",
    "Acquire::Retries=2",
    "APT::Sandbox::User=root",
    "APT::Update::Error-Mode=any",
  ];
  const options = settings.flatMap((setting) => ["-o", setting]);
  return run(["apt-get", "-q", ...options, ...command], directory);
}

function extract(directory: string, target: string): string | undefined {
  fs.rmSync(target, { recursive: true, force: true });
  const archives = fs.readdirSync(directory).filter((file) => file.endsWith(".deb"));
  for (const archive of archives) {
    const failure = run(["dpkg-deb", "-x", archive, target], directory);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/** The last line a failed command wrote; undefined when it went well. */
function run(command: string[], directory: string): string | undefined {
  const { exitCode, stderr } = Bun.spawnSync(command, {
    cwd: directory,
    timeout: 180_000,
    env: { ...process.env, LC_ALL: "C" },
  });
  if (exitCode === 0) return undefined;
  return stderr.toString().trim().split("\n").at(-1) || `${command[0]} ended with ${exitCode}`;
}

/** One entry for apt: the archive this machine takes its own release from, with `suite` instead. */
function distributionSource(suite: string | undefined): string | undefined {
  const codename = /^VERSION_CODENAME=(.+)$/m.exec(read("/etc/os-release"))?.[1];
  const entry = sourceEntries().find(({ suites }) => suites.includes(codename ?? ""));
  if (codename === undefined || entry === undefined) return undefined;
  const lines = [
    "Types: deb",
    `URIs: ${entry.uri}`,
    `Suites: ${suite ?? codename}`,
    `Components: ${suite === undefined ? entry.components : "main"}`,
  ];
  if (entry.signedBy !== undefined) lines.push(`Signed-By: ${entry.signedBy}`);
  return `${lines.join("\n")}\n`;
}

interface SourceEntry {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: string;
  readonly signedBy: string | undefined;
}

/** The binary archives apt is set up with, in both forms it knows (sources.list(5)). */
function sourceEntries(): SourceEntry[] {
  const parts = "/etc/apt/sources.list.d";
  const names = fs.existsSync(parts) ? fs.readdirSync(parts).sort() : [];
  const files = ["/etc/apt/sources.list", ...names.map((name) => `${parts}/${name}`)];
  return files.flatMap((file) => {
    if (file.endsWith(".sources"))
      return read(file)
        .split(/\n\s*\n/)
        .flatMap(stanzaEntry);
    return file.endsWith(".list") ? read(file).split("\n").flatMap(lineEntry) : [];
  });
}

function stanzaEntry(stanza: string): SourceEntry[] {
  const field = (name: string) =>
    new RegExp(`^${name}:[ \\t]*(.+)$`, "mi").exec(stanza)?.[1]?.trim();
  const uri = field("URIs")?.split(/\s+/)[0];
  const suites = field("Suites")?.split(/\s+/);
  const types = field("Types")?.split(/\s+/);
  if (uri === undefined || suites === undefined || !types?.includes("deb")) return [];
  return [{ uri, suites, components: field("Components") ?? "main", signedBy: field("Signed-By") }];
}

function lineEntry(line: string): SourceEntry[] {
  const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.trim());
  const [, options = "", uri, suite, components] = match ?? [];
  if (uri === undefined || suite === undefined || components === undefined) return [];
  const signedBy = /signed-by=(\S+)/.exec(options)?.[1];
  return [{ uri, suites: [suite], components, signedBy }];
}

function read(file: string): string {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
}
