/** Every command of etcdctl that is served, with real etcd beside it: both print the same. */
import { expect, test } from "bun:test";
import { Pair, variants } from "./pair.ts";

const timeoutMs = 60_000;
const formats = ["simple", "json", "fields"];

/** A transaction as etcdctl reads it: comparisons, what to do if they hold, and if not. */
function txn(compares: readonly string[], success: readonly string[], failure: readonly string[]) {
  return [compares, success, failure].map((lines) => `${lines.join("\n")}\n\n`).join("");
}

test.each(variants)(
  "etcdctl %s puts",
  async (version) => {
    await using pair = await Pair.start(version);
    for (const format of formats) {
      const form = ["-w", format];
      await pair.same([...form, "put", "key", "value"]);
      await pair.same([...form, "put", "key", "other", "--prev-kv"]);
    }
    await pair.same(["put", "empty", ""]);
    await pair.same(["put", "key with blanks", "and\ta value\nof two lines"]);
    await pair.same(["put", "ключ", "значение ✓"]);
    await pair.same(["put", "from stdin"], "what stdin holds\n");
    await pair.grant("lease", 1000);
    await pair.same(["put", "leased", "value", "--lease={lease}"]);
    await pair.same(["put", "leased", "other", "--ignore-lease", "--prev-kv", "-w", "json"]);
    await pair.same(["put", "leased", "--ignore-value", "--prev-kv", "-w", "json"]);
    for (const format of formats) await pair.same(["get", "", "--prefix", "-w", format]);
    await pair.refused(["put", "", "value"], "etcdserver: key is not provided");
    await pair.refused(["put", "absent", "--ignore-value"], "etcdserver: key not found");
    await pair.refused(["put", "absent", "v", "--ignore-lease"], "etcdserver: key not found");
    const noLease = "etcdserver: requested lease not found";
    await pair.refused(["put", "key", "value", "--lease=12"], noLease);
    await pair.refused(["put", "key"], "trying to send message larger", "v".repeat(2 ** 21 + 1));
    await pair.refused(["put", "key"], "request is too large", "v".repeat(1_572_864));
    await pair.same(["put", "key"], "v".repeat(1_572_700));
    await pair.same(["get", "key", "-w", "json"]);
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s gets",
  async (version) => {
    await using pair = await Pair.start(version);
    for (const words of ["b 1", "a 3", "c 2", "ab x", "a 4", "d 0", "b 9", "a/1 v", "a/2 v"]) {
      await pair.same(["put", ...words.split(" ")]);
    }
    const ways = [
      ["a"],
      ["absent"],
      ["a", "--prefix"],
      ["", "--prefix"],
      ["b", "--from-key"],
      ["", "--from-key"],
      ["a", "c"],
      ["c", "a"],
      ["a", "--prefix", "--limit=2"],
      ["", "--prefix", "--limit=100"],
      ["a", "--prefix", "--keys-only"],
      ["", "--prefix", "--rev=3"],
      ["a", "--rev=6"],
      ["", "--prefix", "--keys-only", "--limit=3", "--order=DESCEND"],
    ];
    for (const way of ways) {
      for (const format of formats) await pair.same(["get", ...way, "-w", format]);
      await pair.same(["get", ...way, "--consistency=s", "-w", "json"]);
    }
    for (const target of ["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]) {
      for (const order of ["ASCEND", "DESCEND"]) {
        const sort = [`--sort-by=${target}`, `--order=${order}`];
        await pair.same(["get", "", "--prefix", "-w", "json", ...sort]);
        await pair.same(["get", "", "--prefix", "--limit=4", "-w", "json", ...sort]);
      }
    }
    await pair.same(["get", "a", "--print-value-only"]);
    await pair.same(["get", "a", "--prefix", "--hex"]);
    if (!version.startsWith("3.4.")) {
      await pair.same(["get", "a", "--prefix", "--count-only", "-w", "fields"]);
      await pair.same(["get", "a", "--prefix", "--count-only", "-w", "fields", "--rev=4"]);
    }
    await pair.refused(["get", "a", "--rev=99"], "required revision is a future revision");
    await pair.refused(["get", "a", "--prefix", "--from-key"], "cannot be set at the same time");
    await pair.same(["compaction", "8"]);
    await pair.refused(["get", "a", "--rev=7"], "required revision has been compacted");
    await pair.same(["get", "", "--prefix", "--rev=8", "-w", "json"]);
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s deletes",
  async (version) => {
    await using pair = await Pair.start(version);
    const keys = ["a", "a1", "a2", "b", "c", "d"];
    const puts = keys.map((key) => `put ${key} ${key}`);
    const fill = async () => await pair.same(["txn"], txn([], puts, []));
    const ways = [
      ["a"],
      ["absent"],
      ["a", "--prefix"],
      ["a", "c", "--prev-kv"],
      ["b", "--from-key"],
      ["b", "--prev-kv"],
      ["", "--prefix", "--prev-kv"],
      ["", "--from-key"],
    ];
    for (const way of ways) {
      for (const format of formats) {
        await fill();
        await pair.same(["del", ...way, "-w", format]);
        await pair.same(["get", "", "--prefix", "-w", "json"]);
      }
    }
    await pair.refused(["del", ""], "etcdserver: key is not provided");
    await pair.refused(["del"], "needs one argument");
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s compares and acts in transactions",
  async (version) => {
    await using pair = await Pair.start(version);
    await pair.same(["put", "other", "v"]);
    for (const value of ["1", "2", "3"]) await pair.same(["put", "key", value]);
    const operands = { value: "2", version: "3", create: "3", mod: "5" };
    const short = { val: "3", ver: "2", c: "4", m: "5" };
    const compares = [operands, short].flatMap((names) =>
      Object.entries(names).flatMap(([name, operand]) =>
        ["=", "!=", ">", "<"].map((sign) => `${name}("key") ${sign} "${operand}"`),
      ),
    );
    for (const [at, compare] of compares.entries()) {
      await pair.same(["txn", "-w", "json"], txn([compare], ['get "key"'], [`put at ${at}`]));
    }
    const acts = ["put x 1", "put y 2", 'get "" --prefix', "del y", "get absent", "del absent"];
    await pair.refused(["txn"], "duplicate key given in txn request", txn([], acts, []));
    const fine = acts.filter((act) => act !== "del y");
    for (const format of formats) {
      await pair.same(["txn", "-w", format], txn(['ver("none") = "0"'], fine, []));
      await pair.same(["txn", "-w", format], txn(['mod("key") = "0"'], [], ["del x --prev-kv"]));
    }
    await pair.same(["txn", "-i"], txn(['mod("key") > "0"', 'c("x") = "0"'], ["put x 5"], []));
    await pair.refused(["txn"], "malformed comparison", txn(["nonsense"], [], []));
    const many = Array.from({ length: 129 }, (_, at) => `put k${at} v`);
    await pair.refused(["txn"], "too many operations in txn request", txn([], many, []));
    await pair.same(["txn", "-w", "json"], txn([], many.slice(1), []));
    await pair.same(["get", "", "--prefix", "-w", "json"]);
  },
  timeoutMs,
);

const holds = (text: string) => (output: string) => output.includes(text);
const endsWith = (text: string) => (output: string) => output.endsWith(text);

/** The end of what is printed about a put of "last" at revision 6, the first of its key. */
const lastPut: Readonly<Record<string, string>> = {
  simple: "PUT\nend\nlast\n",
  json: '"create_revision":6,"mod_revision":6,"version":1,"value":"bGFzdA=="}}],"CompactRevision":0,"Canceled":false,"Created":false}\n',
  fields: '"Value" : "last"\n"Lease" : 0\n',
};

test.each(variants)(
  "etcdctl %s watches",
  async (version) => {
    await using pair = await Pair.start(version);
    for (const words of ["a 1", "a 2", "ab 3"]) await pair.same(["put", ...words.split(" ")]);
    await pair.same(["del", "a"]);
    await pair.same(["put", "end", "last"]);
    for (const format of formats) {
      const end = endsWith(lastPut[format] ?? "");
      const watch = ["watch", "", "--prefix", "--rev=1", "-w", format];
      await pair.sameSession(watch, (session) => session.until(end));
      await pair.sameSession([...watch, "--prev-kv"], (session) => session.until(end));
    }
    const range = ["watch", "a", "b", "--rev=3"];
    await pair.sameSession(range, (session) => session.until(endsWith("DELETE\na\n\n")));
    const command = ["watch", "end", "--rev=6", "--", "sh", "-c", 'echo "$ETCD_WATCH_VALUE"'];
    await pair.sameSession(command, (session) => session.until(endsWith('last\n"last"\n')));
    await pair.same(["compaction", "4"]);
    const compacted = "required revision has been compacted";
    await pair.refused(["watch", "a", "--rev=1"], compacted);
    const kept = ["watch", "a", "--rev=4"];
    await pair.sameSession(kept, (session) => session.until(endsWith("DELETE\na\n\n")));
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s watches what happens now",
  async (version) => {
    await using pair = await Pair.start(version);
    await pair.sameSession(["watch", "a", "--prefix", "--prev-kv"], async (session, side) => {
      await side.watching(1);
      for (const words of ["put a 1", "put b 2", "put a 3", "put ab 4", "del a --prefix"]) {
        await side.etcdctl.run(words.split(" "));
      }
      await session.until(endsWith("DELETE\nab\n4\nab\n\n"));
    });
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s watches interactively, and asks for progress",
  async (version) => {
    await using pair = await Pair.start(version);
    await pair.same(["put", "a", "first"]);
    await pair.same(["put", "b", "second"]);
    await pair.sameSession(["watch", "-i"], async (session) => {
      session.write("watch a --rev=1\n");
      await session.until(holds("first"));
      session.write("watch --prefix b --rev=1 --prev-kv\n");
      await session.until(holds("second"));
      session.write("progress\n");
      // Each of the two watches is told.
      await session.until(endsWith("progress notify: 3\nprogress notify: 3\n"));
    });
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s grants, keeps and revokes leases",
  async (version) => {
    await using pair = await Pair.start(version);
    await pair.grant("one", 5000);
    await pair.grant("two", 9000);
    await pair.grant("three", 100);
    for (const key of ["b", "a", "c"]) await pair.same(["put", key, "v", "--lease={one}"]);
    // What remains is told in whole seconds, rounded down: any moment takes one off.
    const remaining = /remaining\((5000|499\d)s\)|"ttl":(5000|499\d)\b|"TTL" : (5000|499\d)\b/;
    for (const side of [pair.etcd, pair.t4]) {
      for (const format of formats) {
        const words = ["lease", "timetolive", side.leases.get("one") ?? "", "--keys"];
        const { stdout } = await side.etcdctl.run([...words, "-w", format]);
        expect(stdout).toMatch(remaining);
      }
    }
    await pair.same(["lease", "keep-alive", "--once", "{one}"]);
    await pair.same(["lease", "keep-alive", "--once", "{one}", "-w", "json"]);
    for (const format of formats) {
      await pair.same(["lease", "list", "-w", format]);
      await pair.same(["lease", "timetolive", "abcdef", "-w", format]);
    }
    await pair.sameSession(["lease", "keep-alive", "{one}"], (session) =>
      session.until(holds("keepalived with TTL(5000)")),
    );
    await pair.same(["get", "", "--prefix", "-w", "json"]);
    await pair.same(["lease", "revoke", "{one}"]);
    await pair.same(["get", "", "--prefix", "-w", "json"]);
    await pair.same(["lease", "list"]);
    await pair.refused(["lease", "revoke", "{one}"], "requested lease not found");
    await pair.refused(["lease", "grant", "99999999999"], "too large lease TTL");
    await pair.refused(["lease", "grant", "soon"], "bad TTL");
    await pair.refused(["lease", "revoke", "words"], "bad lease ID");
    await pair.refused(["lease", "keep-alive", "--once", "{one}"], "requested lease not found");
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s compacts",
  async (version) => {
    await using pair = await Pair.start(version);
    for (let put = 0; put < 20; put++) await pair.same(["put", `k${put % 3}`, `${put}`]);
    await pair.same(["compaction", "5"]);
    await pair.same(["compaction", "15", "--physical"]);
    await pair.refused(["compaction", "14"], "required revision has been compacted");
    await pair.refused(["compaction", "15"], "required revision has been compacted");
    await pair.refused(["compaction", "22"], "required revision is a future revision");
    await pair.refused(["compaction", "now"], "strconv");
    for (const revision of [15, 16, 21]) {
      await pair.same(["get", "", "--prefix", "-w", "json", `--rev=${revision}`]);
    }
    await pair.refused(["get", "", "--prefix", "--rev=14"], "has been compacted");
    await pair.same(["compaction", "21", "--physical"]);
    await pair.same(["get", "", "--prefix", "-w", "json"]);
  },
  timeoutMs,
);

test.each(variants)(
  "etcdctl %s asks for health and defragments",
  async (version) => {
    await using pair = await Pair.start(version);
    await pair.same(["put", "key", "value"]);
    for (const format of formats) await pair.same(["endpoint", "health", "-w", format]);
    await pair.same(["endpoint", "health", "--cluster"]);
    await pair.same(["defrag"]);
    await pair.same(["alarm", "list"]);
    await pair.same(["alarm", "disarm"]);
    await pair.same(["get", "key", "-w", "json"]);
  },
  timeoutMs,
);
