import { describe } from "bun:test";
import { serve } from "../../src/rpc/server.ts";
import { connectionContract } from "./connection.ts";
import { serverContract } from "./contract.ts";
import { securityContract } from "./security.ts";

describe("the server", () => {
  serverContract(serve);
  connectionContract(serve);
  securityContract(serve);
});
