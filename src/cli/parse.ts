/**
 * Flags and environment to options, strictly: a flag wins over its variable, a variable that is not
 * empty over the preset, and whatever is not understood is an error that names it. citty's parser
 * will not do here: it is lenient, takes unknown flags for values and lets missing ones pass.
 */
import { type Option, type Table, type Values, variableOf } from "./options.ts";
import { suggestion, UsageError } from "./usage.ts";
import { Unreadable } from "./value.ts";

type Typed = ReadonlyMap<Option<unknown>, string>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** The values of the options in `table`; UsageError when argv or the environment is wrong. */
export function parse<T extends Table>(
  table: T,
  argv: readonly string[],
  environment: Environment,
): Values<T> {
  const typed = typedTexts(Object.values(table), argv);
  const entries = Object.entries(table).map(([name, option]) => {
    return [name, chosen(option, typed.get(option), environment)];
  });
  return Object.fromEntries(entries) as Values<T>;
}

/**
 * What was typed for each option. What is no flag goes to the operands in their order,
 * and so does all that follows "--" where there are any.
 */
function typedTexts(options: Option<unknown>[], argv: readonly string[]): Typed {
  const typed = new Map<Option<unknown>, string>();
  const operands = options.filter(({ operand }) => operand !== undefined);
  const flags = options.filter(({ operand }) => operand === undefined);
  let waiting = operands;
  let isOver = false;
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] as string;
    if (operands.length > 0 && (isOver || !argument.startsWith("-") || argument === "-")) {
      const [operand, ...others] = waiting;
      if (operand === undefined) throw new UsageError(unexpectedText(argument, operands));
      typed.set(operand, argument);
      waiting = others;
    } else if (operands.length > 0 && argument === "--") {
      isOver = true;
    } else {
      const { option, value } = recognise(flags, argument);
      if (typed.has(option)) throw new UsageError(`--${option.flag} is given twice`);
      if (value !== undefined) typed.set(option, value);
      else if (option.kind.hint === undefined) typed.set(option, "true");
      else typed.set(option, following(option, argv[++at]));
    }
  }
  return typed;
}

function unexpectedText(argument: string, operands: readonly Option<unknown>[]): string {
  const names = operands.map(({ operand }) => operand).join(" and ");
  const expected = names === "" ? "there are only flags" : `only ${names} can stand there`;
  return `unexpected argument ${JSON.stringify(argument)}: ${expected}`;
}

/** The option that `argument` names, and the value behind its equals sign. */
function recognise(
  options: Option<unknown>[],
  argument: string,
): { option: Option<unknown>; value: string | undefined } {
  const [, dashes, name, value] = /^(--?)([^=]+)(?:=(.*))?$/s.exec(argument) ?? [];
  if (dashes === undefined) {
    throw new UsageError(unexpectedText(argument, []));
  }
  const option =
    dashes === "-"
      ? options.find(({ letter }) => name === letter)
      : (options.find(({ flag }) => name === flag) ?? options.find(({ alias }) => name === alias));
  if (option !== undefined) return { option, value };
  const flags = options.map(({ flag }) => flag);
  const hint = suggestion(name ?? "", flags, "--") || "; --help lists them";
  throw new UsageError(`unknown flag ${dashes}${name}${hint}`);
}

/** The value that stands in the argument after the flag. */
function following({ flag, kind }: Option<unknown>, value: string | undefined): string {
  if (value !== undefined && !value.startsWith("--")) return value;
  throw new UsageError(`--${flag} needs a value: --${flag}=<${kind.hint}>`);
}

function chosen(
  option: Option<unknown>,
  typed: string | undefined,
  environment: Environment,
): unknown {
  const { flag, operand, preset } = option;
  if (typed !== undefined) return read(option, typed, operand ?? `--${flag}`);
  const variable = variableOf(flag);
  const set = option.onlyTyped ? undefined : environment[variable];
  if (set !== undefined && set !== "") return read(option, set, variable);
  if (option.required) throw new UsageError(missingText(option));
  return preset === undefined ? undefined : read(option, preset, `--${flag}`);
}

function missingText({ flag, help, onlyTyped, operand }: Option<unknown>): string {
  if (operand !== undefined) return `${operand} is missing: ${help}`;
  return `--${flag} is missing${onlyTyped ? "" : `, and ${variableOf(flag)} is not set`}: ${help}`;
}

function read(option: Option<unknown>, text: string, origin: string): unknown {
  const value = option.kind.read(text);
  if (!(value instanceof Unreadable)) return value;
  throw new UsageError(`${origin} must be ${value.expected}, not ${JSON.stringify(text)}`);
}
