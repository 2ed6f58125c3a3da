/**
 * Packages of Debian and its kin, unpacked and not installed: that needs no root and starts no
 * service. apt gets its lists, its cache and its sources from a private directory, so the system's
 * own stay as they are; it checks signatures as always.
 */
import fs from "node:fs";

/**
 * Unpacks the packages that an apt-get command downloads into `target`, relative to the project:
 * those of `suite`, or of the release this machine runs. With `whole` also all they depend on that
 * this machine has already, so that `target` can be a root of its own. Returns the reason when it
 * could not.
 */
export function unpack(
  target: string,
  command: string[],
  suite?: string,
  whole = false,
): string | undefined {
  if (Bun.which("apt-get") === null || Bun.which("dpkg-deb") === null) return "there is no apt-get";
  const source = distributionSource(suite);
  if (source === undefined) return "apt's sources name no archive of the distribution";
  const root = `${process.cwd()}/${target}`;
  const directory = `${root}.apt`;
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(`${directory}/state/lists/partial`, { recursive: true });
  fs.mkdirSync(`${directory}/cache/archives/partial`, { recursive: true });
  fs.writeFileSync(`${directory}/own.sources`, source);
  fs.writeFileSync(`${directory}/nothing`, "");
  const installed = whole ? `${directory}/nothing` : "/var/lib/dpkg/status";
  const failure =
    apt(directory, installed, ["update"]) ??
    apt(directory, installed, command) ??
    extract(directory, `${root}.new`);
  if (failure === undefined) {
    fs.rmSync(root, { recursive: true, force: true });
    fs.renameSync(`${root}.new`, root);
  }
  fs.rmSync(directory, { recursive: true, force: true });
  return failure;
}

function apt(directory: string, installed: string, command: string[]): string | undefined {
  const settings = [
    `Dir::State=${directory}/state`,
    `Dir::State::status=${installed}`,
    `Dir::Cache=${directory}/cache`,
    `Dir::Etc::sourcelist=${directory}/own.sources`,
    "Dir::Etc::sourceparts=/dev/null",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::http::Timeout=20",
    "Acquire::Retries=2",
    "APT::Sandbox::User=root",
    "APT::Update::Error-Mode=any",
    "Debug::NoLocking=true",
  ];
  const options = settings.flatMap((setting) => ["-o", setting]);
  return run(["apt-get", "-q", ...options, ...command], directory);
}

function extract(directory: string, target: string): string | undefined {
  fs.rmSync(target, { recursive: true, force: true });
  const archives = fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".deb"))
    // This one brings the links /bin and /lib, which others then write through.
    .sort((a, b) => Number(b.includes("/base-files_")) - Number(a.includes("/base-files_")));
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
