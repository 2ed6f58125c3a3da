/**
 * The commands: their names, what they are for, and where they live. Some are groups of others:
 * `t4 inspect get`. citty holds the tree and loads a command only when it is called; options are
 * read by our own strict parser.
 */
import { type CommandDef, defineCommand, runCommand } from "citty";
import { exitCodes } from "./exit.ts";
import { operandsUsage, optionsHelp } from "./help.ts";
import {
  doctorOptions,
  inspectCountOptions,
  inspectDiffOptions,
  inspectGetOptions,
  inspectHistoryOptions,
  inspectListOptions,
  inspectMetaOptions,
  runOptions,
  type Table,
  verifyOptions,
  versionOptions,
} from "./options.ts";
import type { Environment } from "./parse.ts";
import {
  branchListOptions,
  forkOptions,
  gcOptions,
  pinOptions,
  pointOptions,
  pointsOptions,
  recoverOptions,
  restoreCheckpointOptions,
  restoreListOptions,
  restoreOptions,
  statusOptions,
  unforkOptions,
  unpinOptions,
} from "./upkeep.ts";
import { suggestion, UsageError } from "./usage.ts";

/** What a command has of the process around it. */
export interface Shell {
  readonly environment: Environment;
  /** True when a person reads along: standard output is a terminal, or `bun run start` was used. */
  readonly interactive: boolean;
  /** True when a person can answer: standard input is a terminal. */
  readonly answers: boolean;
  /** Writes results. */
  readonly print: (text: string) => void;
  /** Writes log lines, questions and errors. */
  readonly warn: (text: string) => void;
  /** The next line of standard input, without its end; undefined when it is closed. */
  readonly readLine: () => Promise<string | undefined>;
}

/** Carries out a command; resolves to the exit code. */
export type Command = (argv: readonly string[], shell: Shell) => Promise<number>;

/** A command that does something. */
interface Leaf {
  readonly description: string;
  readonly options: Table;
  readonly load: () => Promise<Command>;
}

/** A command whose next word says what to do; where a flag comes instead, \`bare\` does it. */
interface Group {
  readonly description: string;
  readonly commands: Commands;
  readonly bare?: Leaf;
}

type Commands = Readonly<Record<string, Leaf | Group>>;

const inspectCommands: Commands = {
  meta: {
    description: "revisions and counts of the whole",
    options: inspectMetaOptions,
    load: async () => (await import("./inspect.ts")).meta,
  },
  get: {
    description: "one key",
    options: inspectGetOptions,
    load: async () => (await import("./inspect.ts")).get,
  },
  list: {
    description: "the keys that begin with a prefix",
    options: inspectListOptions,
    load: async () => (await import("./inspect.ts")).list,
  },
  count: {
    description: "how many keys begin with a prefix",
    options: inspectCountOptions,
    load: async () => (await import("./inspect.ts")).count,
  },
  history: {
    description: "what happened to one key",
    options: inspectHistoryOptions,
    load: async () => (await import("./inspect.ts")).history,
  },
  diff: {
    description: "which keys changed between two revisions",
    options: inspectDiffOptions,
    load: async () => (await import("./inspect.ts")).diff,
  },
};

const branchCommands: Commands = {
  fork: {
    description: "pin a checkpoint for a branch to begin with; prints its key",
    options: forkOptions,
    load: async () => (await import("./branch.ts")).fork,
  },
  unfork: {
    description: "let a branch's checkpoint go",
    options: unforkOptions,
    load: async () => (await import("./branch.ts")).unfork,
  },
  list: {
    description: "the branches, what they began with and where they are",
    options: branchListOptions,
    load: async () => (await import("./branch.ts")).list,
  },
};

const restoreCommands: Commands = {
  list: {
    description: "the checkpoints that a bucket has",
    options: restoreListOptions,
    load: async () => (await import("./restore.ts")).list,
  },
  checkpoint: {
    description: "put a checkpoint into a data directory",
    options: restoreCheckpointOptions,
    load: async () => (await import("./restore.ts")).checkpoint,
  },
  pin: {
    description: "note a restore point, in a bucket that keeps versions",
    options: pinOptions,
    load: async () => (await import("./points.ts")).pin,
  },
  points: {
    description: "the restore points",
    options: pointsOptions,
    load: async () => (await import("./points.ts")).points,
  },
  point: {
    description: "put a restore point into a data directory",
    options: pointOptions,
    load: async () => (await import("./points.ts")).point,
  },
  unpin: {
    description: "let a restore point go",
    options: unpinOptions,
    load: async () => (await import("./points.ts")).unpin,
  },
};

const commands: Commands = {
  run: {
    description: "start a member",
    options: runOptions,
    load: async () => (await import("./run.ts")).run,
  },
  status: {
    description: "what a bucket holds: checkpoints, log, branches, who leads",
    options: statusOptions,
    load: async () => (await import("./status.ts")).status,
  },
  gc: {
    description: "delete from a bucket what nothing needs any more",
    options: gcOptions,
    load: async () => (await import("./gc.ts")).gc,
  },
  branch: {
    description: "databases that begin with a checkpoint of another, without a copy",
    commands: branchCommands,
  },
  restore: {
    description: "put a state that a bucket has into a data directory",
    commands: restoreCommands,
    bare: {
      description: "put the state at a revision or a time into a data directory",
      options: restoreOptions,
      load: async () => (await import("./restore.ts")).at,
    },
  },
  recover: {
    description: "go on with what the bucket has, when the disk that had more is lost",
    options: recoverOptions,
    load: async () => (await import("./recover.ts")).recover,
  },
  inspect: {
    description: "read a data directory, also that of a running member, or a bucket",
    commands: inspectCommands,
  },
  verify: {
    description: "check every byte of a data directory, also of a running member's, or of a bucket",
    options: verifyOptions,
    load: async () => (await import("./verify.ts")).verify,
  },
  doctor: {
    description: "check that a bucket keeps the promises T4 rests on",
    options: doctorOptions,
    load: async () => (await import("./doctor.ts")).doctor,
  },
  version: {
    description: "say what this binary is",
    options: versionOptions,
    load: async () => (await import("./version.ts")).version,
  },
};

/** A command, and the words that led to it. */
interface Found {
  readonly path: readonly string[];
  readonly command: Leaf | Group;
  /** What follows those words. */
  readonly rest: readonly string[];
}

/** Carries out the command line `argv`, without the program's name; resolves to the exit code. */
export async function execute(argv: readonly string[], shell: Shell): Promise<number> {
  const [first, ...rest] = argv;
  if (first === "--version" || first === "-v") return await execute(["version", ...rest], shell);
  if (first === undefined || isHelp(first)) return help({ path: [], command: root, rest }, shell);
  if (first === "help") return help(find(rest), shell);
  const found = find(argv);
  const flags = found.rest.includes("--")
    ? found.rest.slice(0, found.rest.indexOf("--"))
    : found.rest;
  if (flags.some(isHelp)) return help(found, shell);
  if ("commands" in found.command) {
    const { bare } = found.command;
    if (bare === undefined || found.rest.length === 0) {
      throw new UsageError(incompleteText(found, found.command));
    }
    return await (await bare.load())(found.rest, shell);
  }
  return await dispatch(argv, shell);
}

const root: Group = { description: "", commands };

function isHelp(argument: string): boolean {
  return argument === "--help" || argument === "-h";
}

/** The command that `words` begin with; UsageError when a word names none. */
function find(words: readonly string[]): Found {
  const path: string[] = [];
  let command: Leaf | Group = root;
  for (const word of words) {
    if (!("commands" in command) || isHelp(word)) break;
    if (command.bare !== undefined && word.startsWith("-")) break;
    const next: Leaf | Group | undefined = Object.hasOwn(command.commands, word)
      ? command.commands[word]
      : undefined;
    if (next === undefined) throw new UsageError(unknownText(word, path, command));
    command = next;
    path.push(word);
  }
  return { path, command, rest: words.slice(path.length) };
}

async function dispatch(argv: readonly string[], shell: Shell): Promise<number> {
  let code: number = exitCodes.ok.code;
  const treeOf = (tree: Commands): Record<string, CommandDef> =>
    Object.fromEntries(Object.entries(tree).map(([name, each]) => [name, nodeOf(name, each)]));
  const nodeOf = (name: string, command: Leaf | Group): CommandDef => {
    if ("commands" in command) return { meta: { name }, subCommands: treeOf(command.commands) };
    return defineCommand({
      meta: { name },
      run: async ({ rawArgs }) => {
        code = await (await command.load())(rawArgs, shell);
      },
    });
  };
  await runCommand({ subCommands: treeOf(commands) }, { rawArgs: [...argv] });
  return code;
}

function help({ command, path }: Found, shell: Shell): number {
  const name = ["t4", ...path].join(" ");
  shell.print("commands" in command ? groupHelp(name, command) : leafHelp(name, command));
  return exitCodes.ok.code;
}

function groupHelp(name: string, { bare, commands: tree, description }: Group): string {
  const wide = Math.max(...Object.keys(tree).map((each) => each.length));
  const lines = Object.entries(tree).map(
    ([each, { description: purpose }]) => `  ${name} ${each.padEnd(wide + 2)} ${purpose}\n`,
  );
  const title =
    description === ""
      ? "T4 is an etcd-v3-compatible key-value database in one binary."
      : `${name}: ${description}`;
  const own =
    bare === undefined ? "" : `\n${name}: ${bare.description}\n\n${optionsHelp(bare.options)}\n`;
  return `${title}

${lines.join("")}${own}
${name} <command> --help lists a command's options. Most can also be set by a T4_* variable;
a flag wins over its variable.
`;
}

function leafHelp(name: string, { description, options }: Leaf): string {
  const usage = operandsUsage(options);
  const line = usage === "" ? "" : `  ${name} ${usage}\n\n`;
  return `${name}: ${description}\n\n${line}${optionsHelp(options)}\n`;
}

function unknownText(name: string, path: readonly string[], group: Group): string {
  const names = Object.keys(group.commands);
  const after = path.length === 0 ? "" : ` after t4 ${path.join(" ")}`;
  if (name.startsWith("-"))
    return `unknown flag ${name}${after}; a command comes first: ${names.join(", ")}`;
  const hint = suggestion(name, names) || `; commands are ${names.join(", ")}`;
  return `unknown command ${JSON.stringify(name)}${after}${hint}`;
}

function incompleteText({ path }: Found, { bare, commands: tree }: Group): string {
  const flags = Object.values(bare?.options ?? {}).filter(({ required }) => required);
  const or = bare === undefined ? "" : `; or ${flags.map(({ flag }) => `--${flag}`).join(" and ")}`;
  return `t4 ${path.join(" ")} needs a command: ${Object.keys(tree).join(", ")}${or}`;
}
