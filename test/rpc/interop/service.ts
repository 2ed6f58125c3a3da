/** The service of the interop cases, and a channel to it with all that grpc-js can be told. */
import * as grpc from "@grpc/grpc-js";
import { codes, StatusError } from "../../../src/rpc/status.ts";
import { aborted, type EchoHandlers, echo } from "../echo.ts";
import { secured } from "../secured.ts";

/** With blanks at both ends, characters of four bytes, and what a field must not have. */
export const specialText = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈 100%\t\n";

/**
 * Echo, but for some texts: "wait" is answered when the client has gone, "fail 5 text" ends the call
 * with code 5 and that text, "bytes 5" is answered with five bytes.
 */
export function interopHandlers(note: (what: string) => void = () => undefined): EchoHandlers {
  return {
    ...echo,
    async say({ text }, call) {
      if (text === "wait") {
        note("waits");
        await aborted(call.signal);
        note("aborted");
      }
      return { text: answerTo(text) };
    },
    async chat(stream) {
      for await (const { text } of stream.requests) {
        if (text === "wait") {
          note("waits");
          await aborted(stream.signal);
        } else stream.send({ text: answerTo(text) });
      }
      if (stream.signal.aborted) note("aborted");
    },
  };
}

function answerTo(text: string): string {
  const [, code, message = ""] = /^fail (\d+) (.*)$/s.exec(text) ?? [];
  if (code !== undefined) {
    const known = Object.values(codes).find((each) => each === Number(code));
    throw new StatusError(known ?? codes.unknown, message);
  }
  const [, count] = /^bytes (\d+)$/.exec(text) ?? [];
  return count === undefined ? text : "\0".repeat(Number(count));
}

/** A channel of grpc-js with these options. */
export class Channel implements Disposable {
  readonly #client: grpc.Client;

  constructor(port: number, options: grpc.ClientOptions = {}) {
    const credentials =
      secured === undefined
        ? grpc.credentials.createInsecure()
        : grpc.credentials.createSsl(Buffer.from(secured.client.authority));
    this.#client = new grpc.Client(`127.0.0.1:${port}`, credentials, {
      "grpc.ssl_target_name_override": "localhost",
      "grpc.default_authority": "localhost",
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      ...options,
    });
  }

  /** A unary call of test.Echo/Say: the answer, or grpc-js's error. */
  say(text: string, metadata = new grpc.Metadata()): Promise<string> {
    const same = (bytes: Buffer) => bytes;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        "/test.Echo/Say",
        same,
        same,
        Buffer.from(text),
        metadata,
        (error, answer) => {
          if (error === null && answer !== undefined) resolve(answer.toString());
          else reject(error);
        },
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
