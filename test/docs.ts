/**
 * The pages that are printed from the code: docs/metrics.md, and the tables of README.md between
 * their marks. `bun run docs` writes them; a test fails while one is stale.
 */
import { exitCodes } from "../src/cli/exit.ts";
import { optionsMarkdown } from "../src/cli/help.ts";
import { runOptions } from "../src/cli/options.ts";
import type { Metric } from "../src/lib/registry.ts";
import { metrics } from "../src/model/metrics.ts";

/** What each page should say, by path. */
export async function documents(): Promise<ReadonlyMap<string, string>> {
  const readme = await Bun.file("README.md").text();
  const tables = { options: optionsMarkdown(runOptions), "exit codes": exitCodesMarkdown() };
  const filled = Object.entries(tables).reduce(
    (text, [name, table]) => between(text, name, table),
    readme,
  );
  return new Map([
    ["README.md", filled],
    ["docs/metrics.md", metricsMarkdown()],
  ]);
}

function between(text: string, name: string, table: string): string {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md has no ${begin}`);
  return `${before}${begin}\n${table}\n${end}${after}`;
}

function exitCodesMarkdown(): string {
  const rows = Object.values(exitCodes).map(({ code, meaning }) => `| ${code} | ${meaning} |`);
  return ["| code | meaning |", "|---|---|", ...rows].join("\n");
}

function metricsMarkdown(): string {
  const rows = Object.values(metrics).map((metric: Metric) => {
    const labels = metric.labels.map((label) => `\`${label}\``).join(", ");
    const alias = metric.alias === undefined ? "" : ` Also \`${metric.alias}\`.`;
    const buckets = metric.kind === "histogram" ? ` Buckets ${bucketsText(metric.buckets)}.` : "";
    return `| \`${metric.name}\` | ${metric.kind} | ${labels} | ${metric.help}${alias}${buckets} |`;
  });
  return `# Metrics

\`GET /metrics\` on \`--metrics-addr\`, in Prometheus's text format. Printed from
\`src/model/metrics.ts\` by \`bun run docs\`.

A name under "Also" is the one etcd uses for the same number; both are always shown, so dashboards
and alert rules made for etcd work as they are. Names that begin with \`etcd_\` or \`grpc_\` and have no
other name are etcd's own. Sizes are bytes, times are seconds.

| name | type | labels | meaning |
|---|---|---|---|
${rows.join("\n")}
`;
}

function bucketsText(buckets: readonly number[]): string {
  const shown = (value: number | undefined) => `${Number(value?.toPrecision(3))}`;
  const doubles = buckets.every((bound, at) => at === 0 || bound === 2 * (buckets[at - 1] ?? 0));
  if (!doubles) return buckets.join(" ");
  return `${shown(buckets[0])}, doubling up to ${shown(buckets.at(-1))}`;
}

if (import.meta.main) {
  for (const [path, text] of await documents()) await Bun.write(path, text);
}
