/**
 * The certificates in use, which follow their files while the process runs. The files are read
 * again, because what puts them there replaces them in many ways: by writing, by renaming, by turning
 * a symbolic link to a directory that has them all (Kubernetes).
 *
 *   files ── every 10 s, or at SIGHUP ──► other bytes? ──► fit to be served? ──► replace
 *                                                           no: one warning, and nothing changes
 */
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Task } from "../lib/task.ts";
import { TlsError } from "../rpc/secure.ts";
import {
  dateText,
  isMadeOf,
  type ReadFile,
  readTlsFiles,
  type Tls,
  type TlsFiles,
  tlsOf,
} from "./tls.ts";
import { ConfigurationError } from "./usage.ts";

export interface CertificatesOptions {
  readonly files: TlsFiles;
  /** What the files held at the start. */
  readonly inUse: Tls;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes a broken invariant: the process should stop on it. */
  readonly fatal: (error: unknown) => void;
  /** How files are read, if not from the disk. */
  readonly read?: ReadFile;
}

/** Puts certificates into use. TlsError, and nothing has changed, when they cannot be used. */
export type Replace = (tls: Tls) => void;

const lookEveryMs = 10_000;
const dayMs = 24 * 3600 * 1000;
/** From when on it is told that a certificate is going to expire: once a day. */
const soonMs = 30 * dayMs;

export class Certificates {
  readonly #options: CertificatesOptions;
  #task: Task | undefined;
  #inUse: Tls;
  /** Somebody wants to be told what comes of the next look. */
  #isAsked = false;
  /** Why the files were refused, when last looked at. */
  #refusal: string | undefined;
  /** Monotonic milliseconds of the last word about the expiry of what is in use. */
  #warned = Number.NEGATIVE_INFINITY;
  #replaced = 0;
  #refused = 0;

  /** From now on SIGHUP does not end the process. */
  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#inUse = options.inUse;
    process.on("SIGHUP", this.#ask);
  }

  /** Looks at the files, at once and then again and again, until `stop`. */
  follow(replace: Replace): void {
    const { clock, fatal, logger } = this.#options;
    this.#task = new Task({
      name: "certificates",
      clock,
      logger,
      step: () => this.#look(replace),
      retryable: (error) => !(error instanceof InvariantError),
      fatal,
    });
  }

  /** When what is in use expires; milliseconds since the epoch. */
  get expiresMs(): number {
    return this.#inUse.expiresMs;
  }

  /** How often other certificates were put into use. */
  get replaced(): number {
    return this.#replaced;
  }

  /** How often what the files held was refused; once as long as it is for the same reason. */
  get refused(): number {
    return this.#refused;
  }

  async stop(): Promise<void> {
    process.off("SIGHUP", this.#ask);
    await this.#task?.stop();
  }

  readonly #ask = (): void => {
    this.#isAsked = true;
    this.#task?.wake();
  };

  #look(replace: Replace): Promise<number> {
    const { clock, files, logger, read } = this.#options;
    const isAsked = this.#isAsked;
    this.#isAsked = false;
    if (isAsked) this.#refusal = undefined;
    try {
      const contents = readTlsFiles(files, read);
      if (!isMadeOf(this.#inUse, contents)) this.#use(tlsOf(contents, clock.wall()), replace);
      else if (isAsked) logger.info("certificates have not changed");
      this.#refusal = undefined;
    } catch (error) {
      this.#refuse(error);
    }
    this.#warnOfExpiry();
    return Promise.resolve(lookEveryMs);
  }

  #use(tls: Tls, replace: Replace): void {
    const { logger } = this.#options;
    replace(tls);
    this.#inUse = tls;
    this.#replaced++;
    this.#warned = Number.NEGATIVE_INFINITY;
    logger.info("certificates replaced", { expires: dateText(tls.expiresMs) });
  }

  #refuse(error: unknown): void {
    if (!(error instanceof ConfigurationError || error instanceof TlsError)) throw error;
    if (error.message === this.#refusal) return;
    this.#refusal = error.message;
    this.#refused++;
    const { logger } = this.#options;
    logger.warn("certificates refused, those in use stay", { error: error.message });
  }

  #warnOfExpiry(): void {
    const { clock, files, logger } = this.#options;
    const leftMs = this.#inUse.expiresMs - clock.wall();
    const now = clock.now();
    if (leftMs > soonMs || now - this.#warned < dayMs) return;
    this.#warned = now;
    const fields = { file: files.certificate, expires: dateText(this.#inUse.expiresMs) };
    if (leftMs < 0) logger.error("certificate has expired", fields);
    else logger.warn("certificate expires soon", { ...fields, days: Math.floor(leftMs / dayMs) });
  }
}
