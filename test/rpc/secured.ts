/** Whether the tests of this process run over TLS: tls.test.ts runs them so. */
import fs from "node:fs";
import type { TlsOptions } from "../../src/rpc/secure.ts";
import type { ClientTls } from "../support/client.ts";

const file = (name: string) => fs.readFileSync(`${import.meta.dir}/../support/tls/${name}`);

/** What server and client need for it; undefined where they speak plainly. */
export const secured: { readonly server: TlsOptions; readonly client: ClientTls } | undefined =
  process.env.T4_TEST_TLS === "1"
    ? {
        server: { certificate: file("server.crt"), key: file("server.key") },
        client: { authority: file("authority.crt") },
      }
    : undefined;
