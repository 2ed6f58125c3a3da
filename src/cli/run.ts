import type { Command } from "./command.ts";
import { runOptions } from "./options.ts";
import { parse } from "./parse.ts";
export const run: Command = (argv, shell) => {
  parse(runOptions, argv, shell.environment);
  return Promise.resolve(0);
};
