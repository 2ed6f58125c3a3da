/**
 * h2load, the load generator of the benchmarks: the one on PATH, or that of the distribution,
 * unpacked with the libraries it needs and this machine lacks (see apt.ts).
 */
import fs from "node:fs";
import { unpack } from "./apt.ts";

export interface H2loadTool {
  readonly path: string;
  /** What it needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

const target = "node_modules/.cache/h2load";
const install = "install --yes --no-install-recommends --download-only nghttp2-client";

/** Resolves to h2load, having told `say` which; an Error says what to install. */
export function provideH2load(say: (line: string) => void): H2loadTool {
  const found = onPath() ?? unpacked() ?? fetched();
  say(`h2load at ${found.path}`);
  return found;
}

function onPath(): H2loadTool | undefined {
  const path = Bun.which("h2load");
  return path === null ? undefined : { path, environment: {} };
}

function unpacked(): H2loadTool | undefined {
  const root = `${process.cwd()}/${target}/usr`;
  if (!fs.existsSync(`${root}/bin/h2load`)) return undefined;
  const libraries = fs.existsSync(`${root}/lib`) ? fs.readdirSync(`${root}/lib`) : [];
  const search = libraries.map((name) => `${root}/lib/${name}`).join(":");
  return { path: `${root}/bin/h2load`, environment: { LD_LIBRARY_PATH: search } };
}

function fetched(): H2loadTool {
  const failure = unpack(target, install.split(" "));
  const found = unpacked();
  if (found !== undefined) return found;
  throw new Error(`the benchmarks need h2load on PATH, and it could not be fetched (${failure});
install it: apt-get install nghttp2-client, brew install nghttp2, or your system's package`);
}
