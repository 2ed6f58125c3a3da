/**
 * Programs that speak HTTP/2: nghttp2's client and load generator, and curl. Those on PATH, or the
 * distribution's, unpacked with the libraries they need and this machine lacks (see apt.ts).
 */
import fs from "node:fs";
import { unpack } from "./apt.ts";

export interface Tool {
  readonly path: string;
  /** What it needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

const packages = { h2load: "nghttp2-client", nghttp: "nghttp2-client", curl: "curl" } as const;

export type ToolName = keyof typeof packages;

const targetOf = (packageName: string) => `node_modules/.cache/${packageName}`;

/** Finds or fetches a program, having told `say` where it is; an Error says what to install. */
export function provideTool(name: ToolName, say: (line: string) => void): Tool {
  const found = onPath(name) ?? unpacked(name) ?? fetched(name);
  say(`${name} at ${found.path}`);
  return found;
}

function onPath(name: ToolName): Tool | undefined {
  const path = Bun.which(name);
  return path === null ? undefined : { path, environment: {} };
}

function unpacked(name: ToolName): Tool | undefined {
  const root = `${process.cwd()}/${targetOf(packages[name])}/usr`;
  if (!fs.existsSync(`${root}/bin/${name}`)) return undefined;
  const libraries = fs.existsSync(`${root}/lib`) ? fs.readdirSync(`${root}/lib`) : [];
  const search = libraries.map((library) => `${root}/lib/${library}`).join(":");
  return { path: `${root}/bin/${name}`, environment: { LD_LIBRARY_PATH: search } };
}

function fetched(name: ToolName): Tool {
  const packageName = packages[name];
  const options = ["--yes", "--no-install-recommends", "--download-only"];
  const failure = unpack(targetOf(packageName), ["install", ...options, packageName]);
  const found = unpacked(name);
  if (found !== undefined) return found;
  throw new Error(`${name} is needed on PATH, and it could not be fetched (${failure});
install it: apt-get install ${packageName}, or your system's package of it`);
}
