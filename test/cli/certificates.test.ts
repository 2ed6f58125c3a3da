import { expect, test } from "bun:test";
import fs from "node:fs";
import { Certificates } from "../../src/cli/certificates.ts";
import { readTlsFiles, type Tls, type TlsFiles, tlsOf } from "../../src/cli/tls.ts";
import { InvariantError } from "../../src/lib/assert.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { TlsError } from "../../src/rpc/secure.ts";
import { SimClock } from "../sim/clock.ts";
import { Authority, type Issued } from "../support/authority.ts";
import { temporaryDirectory } from "../support/t4.ts";

const day = 24 * 3600 * 1000;
const start = Date.UTC(2026, 0, 1);
const root = Authority.root("root");
const first = root.issue("server");
const second = root.issue("server");
const files = { certificate: "/tls.crt", key: "/tls.key", authority: "/ca.crt" };

type Contents = Record<string, string | undefined>;

const contentsOf = ({ certificate, key }: Issued): Contents => ({
  "/tls.crt": certificate,
  "/tls.key": key,
  "/ca.crt": root.certificate,
});

/** Files in memory, whoever follows them, and what came of it. */
class Bench implements AsyncDisposable {
  readonly clock = new SimClock(start);
  readonly logged: Record<string, unknown>[] = [];
  readonly used: Tls[] = [];
  readonly fatal: unknown[] = [];
  readonly certificates: Certificates;
  contents: Contents;
  /** Thrown instead of putting anything into use. */
  obstacle: Error | undefined;

  constructor(issued: Issued, paths: TlsFiles = files, read = (path: string) => this.#read(path)) {
    this.contents = contentsOf(issued);
    const write = (line: string) => void this.logged.push(JSON.parse(line));
    this.certificates = new Certificates({
      files: paths,
      inUse: tlsOf(readTlsFiles(paths, read), start),
      clock: this.clock,
      logger: createLogger({ level: "info", format: "json", wall: () => 0, write }),
      fatal: (error) => this.fatal.push(error),
      read,
    });
  }

  /** One that looks at its files. */
  static following(...given: ConstructorParameters<typeof Bench>): Bench {
    const bench = new Bench(...given);
    bench.follow();
    return bench;
  }

  follow(): void {
    this.certificates.follow((tls) => {
      if (this.obstacle !== undefined) throw this.obstacle;
      this.used.push(tls);
    });
  }

  /** What was logged since it was last asked for, as `level message`, and the reason. */
  get words(): string[] {
    return this.logged.splice(0).map(({ error, level, msg }) => {
      return `${level} ${msg}${error === undefined ? "" : `: ${error}`}`;
    });
  }

  get counts(): [replaced: number, refused: number] {
    return [this.certificates.replaced, this.certificates.refused];
  }

  /** Long enough for `times` looks. */
  async look(times = 1): Promise<void> {
    await this.clock.yield();
    await this.clock.advance(10_000 * times);
  }

  #read(path: string): Uint8Array {
    const text = this.contents[path];
    if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: "ENOENT" });
    return Buffer.from(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.certificates.stop();
    expect(this.fatal).toEqual([]);
  }
}

const refused = (reason: string) => `warn certificates refused, those in use stay: ${reason}`;

test("files that stay as they are change nothing", async () => {
  await using bench = Bench.following(first);
  await bench.look(1000);
  expect([bench.used, bench.words, bench.counts]).toEqual([[], [], [0, 0]]);
});

test("a set that is whole and valid is put into use, once", async () => {
  await using bench = Bench.following(first);
  await bench.look();
  bench.contents = contentsOf(second);
  await bench.look(100);
  expect(bench.used.map(({ certificate }) => String(certificate))).toEqual([second.certificate]);
  expect(bench.words).toEqual(["info certificates replaced"]);
  bench.contents = contentsOf(first);
  await bench.look(100);
  expect([bench.used.length, bench.counts]).toEqual([2, [2, 0]]);
});

test("another authority for clients is put into use, too", async () => {
  await using bench = Bench.following(first);
  const other = Authority.root("other").certificate;
  bench.contents = { ...contentsOf(first), "/ca.crt": root.certificate + other };
  await bench.look();
  expect(bench.used.map(({ clientAuthority }) => String(clientAuthority))).toEqual([
    root.certificate + other,
  ]);
});

test("a set that is not fit is refused with one warning, and what is in use stays", async () => {
  const expired = root.issue("server", { until: start - day });
  const early = root.issue("server", { from: start + day });
  const cases: [Contents, string][] = [
    [{ ...contentsOf(second), "/tls.key": first.key }, "--client-tls-key: /tls.key is not the key"],
    [{ ...contentsOf(second), "/tls.crt": second.certificate.slice(0, 300) }, "/tls.crt cannot be"],
    [{ ...contentsOf(second), "/tls.crt": "" }, "/tls.crt is empty"],
    [{ ...contentsOf(second), "/tls.key": undefined }, "cannot read /tls.key: ENOENT"],
    [{ ...contentsOf(second), "/ca.crt": "noise" }, "--client-tls-ca: /ca.crt holds no PEM"],
    [contentsOf(expired), "/tls.crt (CN=server) expired at 2025-12-31T00:00:00Z"],
    [contentsOf(early), "/tls.crt (CN=server) is not valid before 2026-01-02T00:00:00Z"],
  ];
  for (const [contents, reason] of cases) {
    await using bench = Bench.following(first);
    bench.contents = contents;
    await bench.look(100);
    expect([bench.used, bench.counts]).toEqual([[], [0, 1]]);
    expect(bench.words).toEqual([expect.stringContaining(reason)]);
    // What it should have been: taken. What was there before: nothing new.
    bench.contents = contentsOf(second);
    await bench.look();
    expect([bench.used.length, bench.counts, bench.words]).toEqual([
      1,
      [1, 1],
      ["info certificates replaced"],
    ]);
  }
});

test("a set that is refused is told again for another reason, or when it went and came back", async () => {
  await using bench = Bench.following(first);
  const mixed = { ...contentsOf(second), "/tls.key": first.key };
  for (const contents of [mixed, { ...mixed, "/tls.key": "" }, mixed, contentsOf(first), mixed]) {
    bench.contents = contents;
    await bench.look(10);
  }
  const mismatch = refused(
    "--client-tls-key: /tls.key is not the key of the certificate in /tls.crt",
  );
  const empty = refused("--client-tls-key: /tls.key is empty");
  expect(bench.words).toEqual([mismatch, empty, mismatch, mismatch]);
  expect([bench.used, bench.counts]).toEqual([[], [0, 4]]);
});

test("a certificate that was not valid yet is put into use when it is", async () => {
  await using bench = Bench.following(first);
  bench.contents = contentsOf(root.issue("server", { from: start + 65_000 }));
  await bench.look(6);
  expect([bench.used.length, bench.counts]).toEqual([0, [0, 1]]);
  await bench.look();
  expect([bench.used.length, bench.counts]).toEqual([1, [1, 1]]);
});

test("a set that TLS does not take is refused, and tried again", async () => {
  await using bench = Bench.following(first);
  bench.obstacle = new TlsError(new Error("odd"));
  bench.contents = contentsOf(second);
  await bench.look(10);
  expect(bench.words).toEqual([refused("cannot use the TLS certificate, key or authority: odd")]);
  bench.obstacle = undefined;
  await bench.look();
  expect(bench.counts).toEqual([1, 1]);
});

test("a failure that nobody foresaw is told and tried again; a broken invariant is fatal", async () => {
  await using bench = Bench.following(first);
  bench.obstacle = new Error("odd");
  bench.contents = contentsOf(second);
  await bench.look();
  expect(bench.words[0]).toBe("warn task failed, will retry: odd");
  bench.obstacle = undefined;
  await bench.look();
  expect(bench.counts).toEqual([1, 0]);
  const broken = new InvariantError("broken");
  bench.obstacle = broken;
  bench.contents = contentsOf(first);
  await bench.look(10);
  expect(bench.fatal.splice(0)).toEqual([broken]);
});

test("SIGHUP makes it look at once and tell what came of it", async () => {
  const bench = Bench.following(first);
  await bench.look();
  const hangUp = async () => {
    process.emit("SIGHUP");
    for (let turn = 0; turn < 3; turn++) await bench.clock.yield();
  };
  bench.contents = contentsOf(second);
  await hangUp();
  expect(bench.words).toEqual(["info certificates replaced"]);
  await hangUp();
  expect(bench.words).toEqual(["info certificates have not changed"]);
  bench.contents = { ...contentsOf(second), "/tls.key": first.key };
  await hangUp();
  await hangUp();
  await bench.look(10);
  const mismatch = refused(
    "--client-tls-key: /tls.key is not the key of the certificate in /tls.crt",
  );
  expect(bench.words).toEqual([mismatch, mismatch]);
  await bench.certificates.stop();
  expect(process.listenerCount("SIGHUP")).toBe(0);
});

test("SIGHUP while nothing is served yet ends nothing, and is answered by the first look", async () => {
  await using bench = new Bench(first);
  bench.contents = contentsOf(second);
  expect(process.emit("SIGHUP")).toBe(true);
  await bench.look(10);
  expect([bench.words, bench.used]).toEqual([[], []]);
  bench.contents = contentsOf(first);
  bench.follow();
  await bench.look();
  expect(bench.words).toEqual(["info certificates have not changed"]);
});

test("a certificate that expires within thirty days is told once a day, and when it has", async () => {
  await using bench = Bench.following(root.issue("server", { until: start + 32 * day }));
  expect(bench.certificates.expiresMs).toBe(start + 32 * day);
  await bench.look();
  bench.clock.setWall(start + 2 * day - 20_000);
  await bench.look();
  expect(bench.logged).toEqual([]);
  await bench.look();
  const told = {
    msg: "certificate expires soon",
    file: "/tls.crt",
    expires: "2026-02-02T00:00:00Z",
  };
  expect(bench.logged.splice(0)).toMatchObject([{ level: "warn", ...told, days: 30 }]);
  await bench.look(8639);
  expect(bench.logged).toEqual([]);
  await bench.look();
  expect(bench.logged.splice(0)).toMatchObject([{ level: "warn", ...told, days: 29 }]);
  bench.clock.setWall(start + 32 * day + 1);
  await bench.look(8640);
  expect(bench.words).toEqual(["error certificate has expired"]);
  bench.contents = contentsOf(second);
  await bench.look(8640);
  expect(bench.words).toEqual(["info certificates replaced"]);
});

test("one that takes its place and expires soon, too, is told at once", async () => {
  await using bench = Bench.following(root.issue("server", { until: start + 10 * day }));
  await bench.look();
  expect(bench.words).toEqual(["warn certificate expires soon"]);
  bench.contents = contentsOf(root.issue("server", { until: start + 11 * day }));
  await bench.look();
  expect(bench.words).toEqual(["info certificates replaced", "warn certificate expires soon"]);
});

test("files are followed through renames and through links that are turned to another directory", async () => {
  using directory = temporaryDirectory();
  const at = (name: string) => `${directory.path}/${name}`;
  const write = (place: string, { certificate, key }: Issued) => {
    fs.mkdirSync(at(place), { recursive: true });
    fs.writeFileSync(at(`${place}/tls.crt`), certificate);
    fs.writeFileSync(at(`${place}/tls.key`), key);
  };
  const turn = (place: string) => {
    fs.symlinkSync(place, at("..data_tmp"));
    fs.renameSync(at("..data_tmp"), at("..data"));
  };
  write("1", first);
  turn("1");
  for (const name of ["tls.crt", "tls.key"]) fs.symlinkSync(`..data/${name}`, at(name));
  const paths = { certificate: at("tls.crt"), key: at("tls.key"), authority: undefined };
  await using bench = Bench.following(first, paths, (path) => fs.readFileSync(path));
  await bench.look();
  write("2", second);
  turn("2");
  fs.rmSync(at("1"), { recursive: true });
  await bench.look();
  expect([bench.words, bench.counts]).toEqual([["info certificates replaced"], [1, 0]]);
  fs.writeFileSync(at("new.crt"), first.certificate);
  fs.writeFileSync(at("new.key"), first.key);
  for (const kind of ["crt", "key"]) fs.renameSync(at(`new.${kind}`), at(`tls.${kind}`));
  await bench.look();
  expect(bench.used.map(({ certificate }) => String(certificate))).toEqual([
    second.certificate,
    first.certificate,
  ]);
});
