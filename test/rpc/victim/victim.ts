/** The server that is attacked, and another client of it, who must not notice. */
import type { ServerOptions } from "../../../src/rpc/server.ts";
import { Client } from "../../support/client.ts";
import { EchoDefinition } from "../echo.ts";
import { secured } from "../secured.ts";
import { Peer, type PeerOptions } from "../wire/peer.ts";

const program = "test/rpc/victim/main.ts";

/** What the server says first. */
export interface Greeting {
  readonly port: number;
}

/** How the server is. */
export interface Condition {
  /** Memory in use (RSS) once all garbage is collected. */
  readonly bytes: number;
  /** The most that it was since the last time it was asked. */
  readonly peakBytes: number;
  /** Handlers that run. */
  readonly running: number;
  readonly streams: number;
  /** What it has logged as its own faults, and the invariants it found broken. */
  readonly complaints: readonly string[];
}

/** A server in another process. */
export class Victim implements AsyncDisposable {
  readonly port: number;
  readonly #process: Bun.Subprocess;
  readonly #next: (ask: () => void) => Promise<unknown>;

  private constructor(
    port: number,
    process: Bun.Subprocess,
    next: (ask: () => void) => Promise<unknown>,
  ) {
    this.port = port;
    this.#process = process;
    this.#next = next;
  }

  /** Starts one, with limits other than a test's usual ones where they are given. */
  static async open(limits?: ServerOptions["limits"]): Promise<Victim> {
    let hear: (message: unknown) => void = () => undefined;
    let fail: (error: Error) => void = () => undefined;
    const next = (ask: () => void) =>
      new Promise<unknown>((resolve, reject) => {
        hear = resolve;
        fail = reject;
        ask();
      });
    const argument = limits === undefined ? [] : [JSON.stringify(limits)];
    let child: Bun.Subprocess | undefined;
    const greeting = (await next(() => {
      child = Bun.spawn(["bun", program, ...argument], {
        ipc: (message) => hear(message),
        onExit: (_, code, signal) => fail(new Error(`the server ended: ${code ?? signal}`)),
        stdio: ["ignore", "inherit", "inherit"],
      });
    })) as Greeting;
    if (child === undefined) throw new Error("no process");
    return new Victim(greeting.port, child, next);
  }

  /** Whether its process lives. */
  get lives(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** How it is; an error when it has died. */
  async condition(): Promise<Condition> {
    if (!this.lives) throw new Error("the server is dead");
    return (await this.#next(() => this.#process.send("how are you?"))) as Condition;
  }

  connect(options?: PeerOptions): Promise<Peer> {
    return Peer.connect(this.port, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }
}

/** A client that asks, is answered, and asks again. */
export class Bystander implements Disposable {
  /** How often it was answered. */
  answers = 0;
  /** What went wrong, which nothing should. */
  readonly complaints: string[] = [];
  readonly #client: Client;
  #isDone = false;

  constructor(port: number) {
    this.#client = new Client(port, secured?.client);
    void this.#run();
  }

  /** Resolves when it was answered once more, asking from now on. */
  async answered(): Promise<void> {
    const { length } = this.complaints;
    const target = this.answers + 2;
    while (this.answers < target && this.complaints.length === length) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#isDone = true;
    this.#client.close();
  }

  async #run(): Promise<void> {
    const { say } = this.#client.unary(EchoDefinition);
    while (!this.#isDone) {
      const text = `question ${this.answers}`;
      try {
        const answer = await say({ text });
        if (answer.text !== text) this.complaints.push(`${text} was answered ${answer.text}`);
      } catch (error) {
        if (!this.#isDone) this.complaints.push(String(error));
      }
      this.answers++;
    }
  }
}
