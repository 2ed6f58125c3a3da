import { withPrefix } from "../../src/object/prefixed.ts";
import { S3Store } from "../../src/object/s3.ts";
import { S3Server, type S3ServerOptions } from "../sim/s3.ts";
import { objectContract } from "./contract.ts";
import { versionsContract } from "./versions.ts";

const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };

function open(server: S3Server): S3Store {
  return new S3Store({ bucket: server.bucket, endpoint: server.endpoint, keys });
}

function subject(options: S3ServerOptions = {}) {
  const server = new S3Server(options);
  return { store: open(server), done: () => server[Symbol.dispose]() };
}

objectContract("S3", () => subject());
objectContract("a prefix in S3", () => {
  const { done, store } = subject({ versioned: true });
  return { store: withPrefix(store, "teams/a b/db"), done };
});
versionsContract("S3", () => subject({ versioned: true }));
