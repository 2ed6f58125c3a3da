import { expect, test } from "bun:test";

/** Runs `script`, which has an Ending by the name of `ending`, in a process of its own. */
function child(script: string) {
  const whole = `
    import { Ending } from "./src/cli/ending.ts";
    const ending = new Ending();
    ending.came.then((end) => console.log(end.kind, end.name ?? end.error.message));
    const hold = setInterval(() => undefined, 1000);
    ${script}`;
  return Bun.spawn([process.execPath, "-e", whole], { stdio: ["ignore", "pipe", "inherit"] });
}

test("an error that nobody caught ends the process, and so does one that is reported", async () => {
  const scripts = {
    "setTimeout(() => { throw new Error('thrown'); }, 0);": "failure thrown\n",
    "Promise.reject(new Error('rejected'));": "failure rejected\n",
    "ending.fail(new Error('told')); ending.fail(new Error('later'));": "failure told\n",
  };
  for (const [script, said] of Object.entries(scripts)) {
    const { exited, stdout } = child(`${script} ending.came.then(() => clearInterval(hold));`);
    expect([script, await stdout.text(), await exited]).toEqual([script, said, 0]);
  }
});

test("a first signal is told, a second one exits at once", async () => {
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    const running = child(`console.log("up");`);
    const lines = running.stdout.getReader();
    const next = async () => new TextDecoder().decode((await lines.read()).value);
    expect(await next()).toBe("up\n");
    running.kill(name);
    expect(await next()).toBe(`signal ${name}\n`);
    running.kill(name);
    expect(await running.exited).toBe(1);
  }
});
