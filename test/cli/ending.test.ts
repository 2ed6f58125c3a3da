import { expect, test } from "bun:test";

/** Runs `script`, which has an Ending by the name of `ending`, in a process of its own. */
function child(script: string, secondSignalAt = 0) {
  const whole = `
    import { Ending } from "./src/cli/ending.ts";
    let now = 0;
    const ending = new Ending({ now: () => now });
    ending.came.then(() => { now = secondSignalAt; });
    ending.came.then((end) => console.log(end.kind, end.name ?? end.error.message));
    const secondSignalAt = ${secondSignalAt};
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

test("a second signal ends the process at once, unless it echoes the first", async () => {
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    const impatient = child(up, 501);
    const echoed = child(up, 500);
    for (const running of [impatient, echoed]) {
      const next = reader(running.stdout);
      expect(await next()).toBe("up\n");
      running.kill(name);
      expect(await next()).toBe(`signal ${name}\n`);
      running.kill(name);
    }
    expect(await impatient.exited).toBe(1);
    echoed.kill("SIGUSR2");
    expect(await echoed.exited).toBe(7);
  }
});

const up = `process.on("SIGUSR2", () => process.exit(7)); console.log("up");`;

function reader(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const chunks = stream.getReader();
  return async () => new TextDecoder().decode((await chunks.read()).value);
}
