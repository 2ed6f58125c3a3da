/** Real etcdctl, run as people run it: a process for each command line. */
import { EventEmitter, once } from "node:events";
import type { EtcdTools } from "../setup/etcd.ts";
import type { Finished } from "./t4.ts";

export class Etcdctl {
  readonly #tools: EtcdTools;
  readonly #endpoint: string;
  readonly #flags: readonly string[];

  /** `endpoint` is host:port; every command line begins with `flags`. */
  constructor(tools: EtcdTools, endpoint: string, flags: readonly string[] = []) {
    this.#tools = tools;
    this.#endpoint = endpoint;
    this.#flags = flags;
  }

  /** Runs a command line to its end, with `input` as its standard input. */
  async run(words: readonly string[], input = ""): Promise<Finished> {
    await using session = this.open(words);
    session.write(input);
    session.end();
    return await session.finished;
  }

  /** Starts a command that goes on until it is told to stop. Killed at the end of the scope. */
  open(words: readonly string[]): Session {
    const { environment, etcdctl } = this.#tools;
    const child = Bun.spawn([etcdctl, `--endpoints=${this.#endpoint}`, ...this.#flags, ...words], {
      env: { PATH: process.env.PATH, ETCDCTL_API: "3", ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    return new Session(child);
  }
}

type Child = Bun.Subprocess<"pipe", "pipe", "pipe">;

export class Session implements AsyncDisposable {
  readonly #child: Child;
  readonly #news = new EventEmitter();
  #output = "";
  #ended = false;
  /** Everything it printed, once it has ended. */
  readonly finished: Promise<Finished>;

  constructor(child: Child) {
    this.#child = child;
    const read = this.#read();
    const complaints = child.stderr.text();
    this.finished = Promise.all([child.exited, read, complaints]).then(([code, , stderr]) => ({
      code,
      stdout: this.#output,
      stderr,
    }));
  }

  /** What it has printed to standard output so far. */
  get output(): string {
    return this.#output;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
    this.#child.stdin.flush();
  }

  /** Closes its standard input. */
  end(): void {
    this.#child.stdin.end();
  }

  /** Resolves when the output is as `wanted` says; rejects when the command ends before. */
  async until(wanted: (output: string) => boolean): Promise<void> {
    while (!wanted(this.#output)) {
      if (this.#ended) throw new Error(`it ended too early, with: ${this.#output}`);
      await once(this.#news, "more");
    }
  }

  /** As Ctrl-C does. */
  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      this.#output += decoder.decode(chunk, { stream: true });
      this.#news.emit("more");
    }
    this.#ended = true;
    this.#news.emit("more");
  }
}
