/** Options in words: the help pages and the table in the README, both printed from cli/options.ts. */
import { type Option, type Table, variableOf } from "./options.ts";

/** Of help, without its indentation. */
const lineMax = 90;

/** One option a paragraph: flag and value, then what it does, its preset and its variable. */
export function optionsHelp(table: Table): string {
  return Object.values(table)
    .map((option) => {
      const letter = option.letter === undefined ? "" : `-${option.letter}, `;
      if (option.operand !== undefined) return `  ${option.operand}\n${wrapped(option.help)}`;
      const variable = option.onlyTyped ? "" : `, variable ${variableOf(option.flag)}`;
      return [
        `  ${letter}--${option.flag}${valueHelp(option)}`,
        wrapped(option.help),
        `      ${option.required ? "required" : `default ${presetHelp(option)}`}${variable}`,
      ].join("\n");
    })
    .join("\n");
}

/** What stands after the command without a flag: "KEY" or "[PREFIX]"; empty when nothing does. */
export function operandsUsage(table: Table): string {
  const operands = Object.values(table).filter(({ operand }) => operand !== undefined);
  return operands.map(({ operand, required }) => (required ? operand : `[${operand}]`)).join(" ");
}

/** The same as a Markdown table. */
export function optionsMarkdown(table: Table): string {
  const rows = Object.values(table).map((option) => {
    const { flag, onlyTyped, operand } = option;
    const variable = onlyTyped ? "" : `\`${variableOf(flag)}\``;
    const cells = [
      `\`${operand ?? `--${flag}`}\``,
      variable,
      presetMarkdown(option),
      sentence(option),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return ["| flag | variable | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
}

/** Text in lines that a terminal can show, indented. */
function wrapped(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= lineMax) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `      ${line}`).join("\n");
}

function valueHelp({ kind }: Option<unknown>): string {
  return kind.hint === undefined ? "[=true|false]" : ` <${kind.hint}>`;
}

function presetHelp(option: Option<unknown>): string {
  return option.preset ?? option.presetHelp ?? "";
}

function presetMarkdown(option: Option<unknown>): string {
  if (option.required) return "required";
  return option.preset === undefined ? (option.presetHelp ?? "") : `\`${option.preset}\``;
}

function sentence({ help, kind }: Option<unknown>): string {
  return kind.hint?.includes("|") ? `${help} (${kind.hint.replaceAll("|", ", ")})` : help;
}
