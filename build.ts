/**
 * Makes dist/t4, one executable with everything in it:
 *
 *   bun build.ts                           for this machine
 *   bun build.ts --target=bun-linux-arm64  for another; dist/t4-linux-arm64
 *
 * Bytecode spares parsing at every start. Files that Bun would read by itself from the directory
 * it is started in (.env, bunfig.toml) are none of a server's business and are turned off.
 */
import fs from "node:fs";

const target = process.argv.find((argument) => argument.startsWith("--target="))?.slice(9);
const outfile = `dist/${target === undefined ? "t4" : target.replace(/^bun-/, "t4-")}`;

const result = await Bun.build({
  entrypoints: ["src/main.ts"],
  target: "bun",
  format: "esm",
  bytecode: true,
  minify: { syntax: true, whitespace: true, identifiers: false },
  sourcemap: "linked",
  define: {
    T4_BUILD_COMMIT: JSON.stringify(git("rev-parse", "--short=12", "HEAD") ?? "unknown"),
    T4_BUILD_DATE: JSON.stringify(new Date().toISOString()),
  },
  compile: {
    outfile,
    ...(target === undefined ? {} : { target: target as Bun.Build.CompileTarget }),
    autoloadDotenv: false,
    autoloadBunfig: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
});
if (!result.success) throw new AggregateError(result.logs, "the build failed");
// The executable has the map inside; the copy beside it serves nobody.
fs.rmSync(`${outfile}.map`, { force: true });
process.stdout.write(`${outfile}: ${Math.round(Bun.file(outfile).size / 2 ** 20)} MiB\n`);

function git(...args: string[]): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["git", ...args], { stderr: "ignore" });
  return exitCode === 0 ? stdout.toString().trim() : undefined;
}
