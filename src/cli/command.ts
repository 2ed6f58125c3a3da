/**
 * The commands: their names, what they are for, and where they live. citty holds the tree and
 * loads a command only when it is called; options are read by our own strict parser.
 */
import { defineCommand, runCommand } from "citty";
import { exitCodes } from "./exit.ts";
import { optionsHelp } from "./help.ts";
import { runOptions, type Table, versionOptions } from "./options.ts";
import type { Environment } from "./parse.ts";
import { suggestion, UsageError } from "./usage.ts";

/** What a command has of the process around it. */
export interface Shell {
  readonly environment: Environment;
  /** True when a person reads along: standard output is a terminal, or `bun run start` was used. */
  readonly interactive: boolean;
  /** Writes results. */
  readonly print: (text: string) => void;
  /** Writes log lines and errors. */
  readonly warn: (text: string) => void;
}

/** Carries out a command; resolves to the exit code. */
export type Command = (argv: readonly string[], shell: Shell) => Promise<number>;

interface Entry {
  readonly description: string;
  readonly options: Table;
  readonly load: () => Promise<Command>;
}

const commands: Readonly<Record<string, Entry>> = {
  run: {
    description: "start a member",
    options: runOptions,
    load: async () => (await import("./run.ts")).run,
  },
  version: {
    description: "say what this binary is",
    options: versionOptions,
    load: async () => (await import("./version.ts")).version,
  },
};

/** Carries out the command line `argv`, without the program's name; resolves to the exit code. */
export async function execute(argv: readonly string[], shell: Shell): Promise<number> {
  const [first, ...rest] = argv;
  if (first === "--version" || first === "-v") return await execute(["version", ...rest], shell);
  const wantsHelp = argv.some((argument) => argument === "--help" || argument === "-h");
  const name = first === "help" ? rest[0] : first;
  if (name === undefined || name === "--help" || name === "-h") {
    shell.print(generalHelp());
    return exitCodes.ok.code;
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) throw new UsageError(unknownText(name));
  if (first === "help" || wantsHelp) {
    shell.print(commandHelp(name, entry));
    return exitCodes.ok.code;
  }
  return await dispatch(argv, shell);
}

async function dispatch(argv: readonly string[], shell: Shell): Promise<number> {
  let code: number = exitCodes.ok.code;
  const leaves = Object.entries(commands).map(([name, { load }]) => {
    const leaf = defineCommand({
      meta: { name },
      run: async ({ rawArgs }) => {
        code = await (await load())(rawArgs, shell);
      },
    });
    return [name, leaf] as const;
  });
  const tree = defineCommand({ subCommands: Object.fromEntries(leaves) });
  await runCommand(tree, { rawArgs: [...argv] });
  return code;
}

function generalHelp(): string {
  const lines = Object.entries(commands).map(
    ([name, { description }]) => `  t4 ${name.padEnd(10)} ${description}\n`,
  );
  return `T4 is an etcd-v3-compatible key-value database in one binary.

${lines.join("")}
t4 <command> --help lists a command's options. Each can also be set by its T4_* variable;
a flag wins over its variable.
`;
}

function commandHelp(name: string, { description, options }: Entry): string {
  return `t4 ${name}: ${description}\n\n${optionsHelp(options)}\n`;
}

function unknownText(name: string): string {
  const names = Object.keys(commands);
  if (name.startsWith("-"))
    return `unknown flag ${name}; a command comes first: ${names.join(", ")}`;
  const hint = suggestion(name, names) || `; commands are ${names.join(", ")}`;
  return `unknown command ${JSON.stringify(name)}${hint}`;
}
