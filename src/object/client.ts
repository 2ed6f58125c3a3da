/** How the SDK's client for an S3 server is set up. */

/** How an S3 server is reached. */
export interface S3Settings {
  /** Another server than AWS: http://host:port. Buckets are then part of the path, not of the name. */
  readonly endpoint?: string | undefined;
  /** Without one: that of the environment or the profile; us-east-1 with an endpoint. */
  readonly region?: string | undefined;
  /** Of the AWS configuration files. */
  readonly profile?: string | undefined;
  /** Fixed credentials. Without them the standard chain of AWS decides, and refreshes before expiry. */
  readonly keys?: S3Keys | undefined;
  /** Certificates of authorities, PEM, in place of the usual ones. */
  readonly authorities?: string | undefined;
}

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const connectMsMax = 5_000;
const socketsMax = 64;

/** What the client of the SDK is made with. */
export function clientConfig(settings: S3Settings) {
  const { authorities, endpoint, keys, profile } = settings;
  const region = settings.region ?? (endpoint === undefined ? undefined : "us-east-1");
  const agent = { keepAlive: true, maxSockets: socketsMax };
  return {
    maxAttempts: 1,
    // Waiting for leave to send a body costs a round trip, and some servers never give it.
    expectContinueHeader: false,
    requestChecksumCalculation: "WHEN_REQUIRED" as const,
    responseChecksumValidation: "WHEN_REQUIRED" as const,
    forcePathStyle: endpoint !== undefined,
    // What it has to say otherwise goes to the console, in lines of its own kind.
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    requestHandler: {
      connectionTimeout: connectMsMax,
      httpAgent: agent,
      httpsAgent: authorities === undefined ? agent : { ...agent, ca: authorities },
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    ...(keys === undefined ? {} : { credentials: credentialsOf(keys) }),
  };
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Keys) {
  const keys = { accessKeyId, secretAccessKey };
  return sessionToken === undefined ? keys : { ...keys, sessionToken };
}

function ignore(): void {}
