/** One of the servers that are compared: requests go in with common names, and so come answers out. */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import type { MethodDefinition } from "../../src/rpc/service.ts";
import { CallError, Client } from "../support/client.ts";
import { Feed } from "./feed.ts";
import {
  type CallOperation,
  chosenLease,
  decodeExactly,
  encode,
  methods,
  type Operation,
  subjectOf,
} from "./operation.ts";
import { type Identity, type Plain, plainOf, settleTies } from "./plain.ts";

/** How a call ended, in the names that both servers share. */
export interface Answer {
  readonly code: number;
  readonly message: string;
  readonly response?: Plain;
}

/** A call that has no answer by then never will. */
const deadlineMs = 30_000;

export class Side {
  readonly name: "t4" | "etcd";
  readonly #client: Client;
  #header: pb.ResponseHeader;
  /** Leases the server chose: what it calls them, and what we do. */
  readonly #ours = new Map<bigint, bigint>();
  readonly #theirs = new Map<bigint, bigint>();

  static async connect(name: Side["name"], port: number): Promise<Side> {
    const client = new Client(port);
    const { header } = await client.unary(pb.KVDefinition).range({ key: Buffer.from("k") });
    if (header === undefined) throw new Error(`${name} sends no header`);
    return new Side(name, client, header);
  }

  private constructor(name: Side["name"], client: Client, header: pb.ResponseHeader) {
    this.name = name;
    this.#client = client;
    this.#header = header;
  }

  get identity(): Identity {
    return { ...this.#header, leases: this.#ours };
  }

  async call(operation: CallOperation): Promise<Answer> {
    const { extremes, method, request } = operation;
    const { path, requestType, responseType } = methods[method];
    const bytes = encode(requestType, this.#inTheirNames(request), extremes);
    return await this.#answer(path, bytes, (encoded) => {
      const response = decodeExactly<object>(responseType, encoded);
      if (method === "LeaseGrant") this.#nameLease(request, response);
      const plain = plainOf(response, this.identity);
      settleTies(method, request, plain);
      return plain;
    });
  }

  /** Sends bytes to a unary method; where the path is one of ours, the response is decoded. */
  async bytes(operation: Extract<Operation, { kind: "bytes" }>): Promise<Answer> {
    const { bytes, path } = operation;
    const method = Object.values(methods).find((known) => known.path === path);
    return await this.#answer(path, bytes, (encoded) => {
      if (method === undefined) return encoded.toString("hex");
      const plain = plainOf(decodeExactly<object>(method.responseType, encoded), this.identity);
      settleTies(...subjectOf(operation), plain);
      return plain;
    });
  }

  async #answer(path: string, bytes: Uint8Array, read: (bytes: Buffer) => Plain): Promise<Answer> {
    let encoded: Buffer;
    try {
      encoded = await this.#client.raw(path, bytes, { deadlineMs });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return { code: error.code, message: messageOf(error.message) };
    }
    return { code: 0, message: "", response: read(encoded) };
  }

  /** Sends bytes as the first message of a stream, and waits for its end. */
  async streamBytes(path: string, bytes: Uint8Array): Promise<Answer> {
    const watch = path.endsWith("/Watch");
    const definition = watch ? pb.WatchDefinition : pb.LeaseDefinition;
    const method = watch
      ? pb.WatchDefinition.methods.watch
      : pb.LeaseDefinition.methods.leaseKeepAlive;
    const stream = this.#client.stream(definition, method, { deadlineMs });
    stream.sendBytes(bytes);
    const { code, message } = await stream.status;
    return { code, message: messageOf(message) };
  }

  /** A call with these messages; how it ended. */
  async messages(path: string, messages: readonly Uint8Array[]): Promise<Answer> {
    const [, service = "", name = ""] = path.split("/");
    const method = { ...pb.KVDefinition.methods.range, name };
    const definition = { fullName: service, methods: { method } };
    const stream = this.#client.stream(definition, method, { deadlineMs });
    for (const message of messages) stream.sendBytes(message);
    stream.end();
    return await stream.status;
  }

  /** Renews leases on one stream: what came back, and how the stream ended. */
  async keepAlive(leases: readonly bigint[]): Promise<Answer> {
    const { leaseKeepAlive } = pb.LeaseDefinition.methods;
    const stream = this.#client.stream(pb.LeaseDefinition, exactly(leaseKeepAlive), { deadlineMs });
    for (const ID of leases) stream.send({ ID: this.#theirs.get(ID) ?? ID });
    stream.end();
    const response: Plain[] = [];
    for (let next = await stream.next(); next !== undefined; next = await stream.next()) {
      response.push(plainOf(next, this.identity));
    }
    return { ...(await stream.status), response };
  }

  /** Opens a watch stream. */
  watch(onChange: () => void): Feed {
    const { watch } = pb.WatchDefinition.methods;
    return new Feed(this.#client.stream(pb.WatchDefinition, exactly(watch)), this, onChange);
  }

  close(): void {
    this.#client.close();
  }

  /** Gives a name to a lease whose id the server was to choose. */
  #nameLease(request: { readonly ID?: bigint }, response: { readonly ID?: bigint }): void {
    if (request.ID !== 0n || response.ID === undefined || this.#ours.has(response.ID)) return;
    const name = chosenLease(this.#ours.size);
    this.#ours.set(response.ID, name);
    this.#theirs.set(name, response.ID);
  }

  /** A copy of a request with this server's lease ids. */
  #inTheirNames<T>(value: T, field = ""): T {
    if (typeof value === "bigint") {
      const named = field === "lease" || field === "ID" ? this.#theirs.get(value) : undefined;
      return (named ?? value) as T;
    }
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
    if (Array.isArray(value)) return value.map((item) => this.#inTheirNames(item)) as T;
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, inner]) => [key, this.#inTheirNames(inner, key)]),
    ) as T;
  }
}

/** The operations that are one call each, as this side answers them. */
export function answerOf(side: Side, operation: Operation): Promise<Answer> | undefined {
  switch (operation.kind) {
    case "call":
      return side.call(operation);
    case "bytes":
      return side.bytes(operation);
    case "messages":
      return side.messages(operation.path, operation.messages);
    case "streamBytes":
      return side.streamBytes(operation.path, operation.bytes);
    case "keepAlive":
      return side.keepAlive(operation.leases);
    default:
      return undefined;
  }
}

/** The method with a codec that refuses to lose anything. */
function exactly<M extends MethodDefinition>(method: M): M {
  const { responseType } = method;
  const decode = (bytes: Uint8Array) => decodeExactly(responseType, bytes);
  return { ...method, responseType: { ...responseType, decode } };
}

/** What is wrong with a malformed message each decoder says in its own words. */
function messageOf(message: string): string {
  return message.replace(/^(grpc: (?:error|failed to) unmarshal\S* (?:the \S+ )?\w+:? ).*/s, "$1…");
}
