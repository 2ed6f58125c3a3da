/**
 * What was built. build.ts replaces the two names below by text when it makes the binary; run
 * from source they are not defined.
 */
import { version as packageVersion } from "../../package.json";

declare const T4_BUILD_COMMIT: string | undefined;
declare const T4_BUILD_DATE: string | undefined;

export interface Build {
  /** T4's own version, as in package.json. */
  readonly version: string;
  /** The commit it was built from; "source" when it was not built. */
  readonly commit: string;
  /** When it was built, in ISO 8601; undefined when it was not. */
  readonly date: string | undefined;
  readonly bun: string;
  /** operating system and processor, such as "linux-x64". */
  readonly platform: string;
}

export const build: Build = {
  version: packageVersion,
  commit: typeof T4_BUILD_COMMIT === "undefined" ? "source" : T4_BUILD_COMMIT,
  date: typeof T4_BUILD_DATE === "undefined" ? undefined : T4_BUILD_DATE,
  bun: Bun.version,
  platform: `${process.platform}-${process.arch}`,
};
