/** `t4 version`: what this binary is. */
import { etcdVersion } from "../model/version.ts";
import { build } from "./build.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit.ts";
import { versionOptions } from "./options.ts";
import { parse } from "./parse.ts";

export const version: Command = (argv, shell) => {
  const { output } = parse(versionOptions, argv, shell.environment);
  const facts = { ...build, etcd: etcdVersion };
  shell.print(output === "json" ? `${JSON.stringify(facts)}\n` : text(facts));
  return Promise.resolve(exitCodes.ok.code);
};

function text({ version, commit, date, bun, platform, etcd }: typeof build & { etcd: string }) {
  const when = date === undefined ? "" : `, built ${date}`;
  return `t4 ${version} (commit ${commit}${when})
bun ${bun}, ${platform}
etcd API ${etcd}
`;
}
