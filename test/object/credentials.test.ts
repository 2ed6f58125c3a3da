/** Where credentials come from: each way in a process of its own, because the SDK looks around it. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { S3Server } from "../sim/s3.ts";
import { temporaryDirectory } from "../support/t4.ts";

const hourMs = 3_600_000;

interface Asked {
  readonly said: string;
  /** The access key ids that came, in order, without repetitions. */
  readonly ids: readonly string[];
  readonly tokens: readonly (string | undefined)[];
}

/** What a process with this environment was told, and whom the server took it for. */
async function ask(
  environment: Record<string, string>,
  server: S3Server,
  gets = 0,
): Promise<Asked> {
  const command = [process.execPath, "test/object/asker.ts", server.endpoint, `${gets}`];
  const child = Bun.spawn(command, {
    env: { PATH: process.env.PATH, HOME: "/nonexistent", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 30_000,
  });
  const said = await child.stdout.text();
  const ids = server.requests.map(({ headers }) => {
    return /Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1] ?? "";
  });
  const tokens = server.requests.map(({ headers }) => headers["x-amz-security-token"]);
  const different = ids.filter((id, at) => id !== ids[at - 1]);
  return { said, ids: different, tokens: [...new Set(tokens)] };
}

test("credentials are found in the environment", async () => {
  using server = new S3Server();
  const environment = {
    AWS_ACCESS_KEY_ID: "ENVIRONMENT",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_SESSION_TOKEN: "token",
  };
  expect(await ask(environment, server)).toEqual({
    said: "well",
    ids: ["ENVIRONMENT"],
    tokens: ["token"],
  });
});

test("credentials are found in the configuration files, by profile", async () => {
  using server = new S3Server();
  using directory = temporaryDirectory();
  const [config, credentials] = [`${directory.path}/config`, `${directory.path}/credentials`];
  fs.writeFileSync(config, "[profile prod]\nregion = eu-west-1\n");
  fs.writeFileSync(credentials, "[prod]\naws_access_key_id=FILES\naws_secret_access_key=secret\n");
  const environment = {
    AWS_CONFIG_FILE: config,
    AWS_SHARED_CREDENTIALS_FILE: credentials,
    AWS_PROFILE: "prod",
  };
  expect(await ask(environment, server)).toMatchObject({ said: "well", ids: ["FILES"] });
});

test("a web identity's token is exchanged for credentials", async () => {
  using server = new S3Server();
  using directory = temporaryDirectory();
  fs.writeFileSync(`${directory.path}/token`, "the pod's token");
  let asked = "";
  await using sts = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      asked = await request.text();
      const result = `<AssumeRoleWithWebIdentityResult><Credentials>
        <AccessKeyId>WEBIDENTITY</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
        <SessionToken>session</SessionToken>
        <Expiration>${new Date(Date.now() + hourMs).toISOString()}</Expiration>
        </Credentials></AssumeRoleWithWebIdentityResult>`;
      const name = "AssumeRoleWithWebIdentityResponse";
      const space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"';
      const headers = { "content-type": "text/xml" };
      return new Response(`<${name} ${space}>${result}</${name}>`, { headers });
    },
  });
  const environment = {
    AWS_WEB_IDENTITY_TOKEN_FILE: `${directory.path}/token`,
    AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/t4",
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${sts.port}`,
  };
  expect(await ask(environment, server)).toEqual({
    said: "well",
    ids: ["WEBIDENTITY"],
    tokens: ["session"],
  });
  expect(new URLSearchParams(asked).get("WebIdentityToken")).toBe("the pod's token");
});

/** Hands out POD1, POD2, …, each good for `lifeMs`. */
function podCredentials(lifeMs: (at: number) => number) {
  let count = 0;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => {
      count++;
      return Response.json({
        AccessKeyId: `POD${count}`,
        SecretAccessKey: "secret",
        Token: `token ${count}`,
        Expiration: new Date(Date.now() + lifeMs(count)).toISOString(),
      });
    },
  });
}

test("a pod's credentials are renewed before they expire", async () => {
  using server = new S3Server();
  // The first ones end in a minute, which is too soon to rely on.
  await using pod = podCredentials((at) => (at === 1 ? 60_000 : hourMs));
  const environment = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${pod.port}/credentials`,
  };
  const { ids, said } = await ask(environment, server, 5);
  expect(said).toBe("well");
  expect(ids.at(-1)).toBe("POD2");
});

test("credentials that the server calls expired are asked for anew, and the request is sent again", async () => {
  using server = new S3Server({
    plan: ({ headers }) => (headers.authorization?.includes("POD1/") ? "expired" : undefined),
  });
  await using pod = podCredentials(() => hourMs);
  const environment = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${pod.port}/credentials`,
  };
  expect(await ask(environment, server, 3)).toMatchObject({ said: "well", ids: ["POD1", "POD2"] });
  expect(server.requests).toHaveLength(5);
});

test("where there are no credentials, that is said; where they are denied, whose they are", async () => {
  using server = new S3Server({ plan: () => "expired" });
  const nowhere = await ask({ AWS_EC2_METADATA_DISABLED: "true" }, server);
  expect(nowhere.said).toStartWith("put s3://test/k failed: no credentials were found: ");
  const keys = { AWS_ACCESS_KEY_ID: "ENVIRONMENT", AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI" };
  const { said } = await ask(keys, server);
  expect(said).toStartWith(
    "put s3://test/k failed: access is denied (HTTP 403 ExpiredToken: by plan); ",
  );
  expect(said).toContain("credentials came from AWS_ACCESS_KEY_ID (ENVIRONMENT)");
  expect(said).toContain("expired");
  expect(said).not.toContain("wJalrXUtnFEMI");
});
