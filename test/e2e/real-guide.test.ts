/** The guide's walks on a real S3 server. */
import { afterAll, beforeAll } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { type RealS3, startS3 } from "../setup/s3.ts";
import { walkGuide } from "./guide.ts";
import { realPlace } from "./place.ts";

let server: RealS3 | undefined;

beforeAll(async () => {
  server = await startS3();
}, 120_000);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
}, 30_000);

walkGuide([["a real S3 server", () => realPlace(must(server, "it is started before the tests"))]]);
