import { expect, test } from "bun:test";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { ListenError } from "../../src/cli/listen.ts";
import { ConfigurationError, NotFoundError, UsageError } from "../../src/cli/usage.ts";
import { InvariantError } from "../../src/lib/assert.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { DiskError, InUseError } from "../../src/lib/disk.ts";
import { ObjectError, type ObjectErrorKind } from "../../src/object/store.ts";
import { SupersededError } from "../../src/replication/archive.ts";
import { TlsError } from "../../src/rpc/secure.ts";

test("what went wrong decides the exit code", () => {
  const disk = (code: string, operation = "write") => new DiskError(code, operation, "/x");
  const object = (kind: ObjectErrorKind) => new ObjectError(kind, "get", "x", "x");
  const listen = (code: string) =>
    new ListenError("--listen", { host: "h", port: 1 }, Object.assign(new Error(), { code }));
  const cases: [unknown, number][] = [
    [new UsageError("x"), 2],
    [new NotFoundError("x"), 3],
    [new CorruptionError("/x", 0, "x"), 7],
    [disk("ENOENT", "make directory"), 73],
    [disk("ENOTDIR", "list"), 73],
    [disk("EROFS", "create"), 73],
    [new InUseError("x"), 75],
    [listen("EADDRINUSE"), 75],
    [disk("EIO"), 75],
    [disk("ENOSPC"), 75],
    [disk("EACCES"), 77],
    [disk("EPERM", "make directory"), 77],
    [listen("EACCES"), 77],
    [new ForeignError("/x", "x"), 78],
    [new ConfigurationError("x"), 78],
    [new SupersededError(2, undefined), 6],
    [object("damaged"), 7],
    [object("conflict"), 69],
    [object("throttled"), 69],
    [object("unknown"), 69],
    [object("full"), 75],
    [object("denied"), 77],
    [object("invalid"), 78],
    [object("noBucket"), 78],
    [new TlsError("x"), 78],
    [listen("EADDRNOTAVAIL"), 78],
    [new InvariantError("x"), 1],
    [new Error("x"), 1],
    ["x", 1],
  ];
  expect(cases.map(([error]) => exitCodeOf(error))).toEqual(cases.map(([, code]) => code));
});

test("a port that cannot be had is told with its flag and the reason", () => {
  const taken = Object.assign(new Error("no"), { code: "EADDRINUSE" });
  expect(new ListenError("--listen", { host: "::1", port: 3379 }, taken).message).toBe(
    "cannot listen on [::1]:3379 (--listen): another process listens there: stop it or choose another port",
  );
  expect(new ListenError("--listen", { host: "h", port: 1 }, new Error("odd")).message).toBe(
    "cannot listen on h:1 (--listen): odd",
  );
});
