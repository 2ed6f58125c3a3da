/**
 * Makes src/gen from the protocol files here: buf runs ts-proto, then the text is finished by the
 * rewrites below. Each states what is wrong with the output as it comes; one that finds nothing to
 * do fails the run, because then the generator has changed and the rewrite needs a look.
 */
import { Glob } from "bun";

interface Rewrite {
  readonly why: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

const rewrites: readonly Rewrite[] = [
  {
    why: `A client may send any 64-bit number, and etcd compares it as it is. Nothing here is ever
      beyond the safe range, so a saturated number compares as the true one would; an error, which
      is what the generator makes of it, refuses requests that etcd takes.`,
    pattern: /^function longToNumber\(.*?^}\n/ms,
    replacement: `/** The nearest safe number. */
function longToNumber(int64: bigint | string): number {
  const number = Number(int64);
  if (number > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  return number < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : number;
}

/** A varint of 64 bits; one of 32 bits has the same bytes and costs a tenth. */
function writeLong(writer: BinaryWriter, value: number): void {
  if (value >= 0 && value <= 0xffffffff) writer.uint32(value);
  else writer.int64(value);
}
`,
  },
  {
    why: "The range of 64-bit fields is checked twice, here at 0.3 us a field and by the writer.",
    pattern:
      /^ *if \(BigInt\.as(?:Int|Uint)N\(64, [^;]*? \{\n *throw new globalThis\.Error\(\s*"value provided [^"]*",?\s*\);\n *\}\n/gm,
    replacement: "",
  },
  {
    why: "Numbers need no BigInt to be written: most fit 32 bits.",
    pattern: /writer\.uint32\((\d+)\)\.u?int64\(BigInt\(([\w.]+)\)\);/g,
    replacement: "writeLong(writer.uint32($1), $2);",
  },
  {
    why: `Of a tag or a length of more than 32 bits the reader keeps the lower ones, so that bytes of
      one field pass for another. Numbers of 32 bits are cut like that on purpose.`,
    pattern: /^interface MessageFns<T> \{/m,
    replacement: `const lower32 = new BinaryReader(new Uint8Array(0)).uint32;

function uint32(this: BinaryReader): number {
  const start = this.pos;
  const value = lower32.call(this);
  if (this.pos - start < 5) return value;
  this.pos = start;
  if (this.uint64() !== BigInt(value)) throw new Error("a tag or length of more than 32 bits");
  return value;
}

class StrictReader extends BinaryReader {
  override uint32 = uint32;
  override int32(): number {
    return lower32.call(this) | 0;
  }
}

$&`,
  },
  {
    why: "The reader above takes the place of the plain one.",
    pattern: /: new BinaryReader\(input\)/g,
    replacement: ": new StrictReader(input)",
  },
  {
    why: `A field number of 0 or a stray end of group ends decoding without an error: the rest of
      the message would be lost in silence.`,
    pattern: /if \(\(tag & 7\) === 4 \|\| tag === 0\) \{\n *break;\n/g,
    replacement: `if ((tag & 7) === 4 || tag < 8) {
          throw new Error(\`illegal tag \${tag}\`);
`,
  },
  {
    why: `A known field in another wire type is no message to etcd. The generator takes it for an
      unknown field, so that the request would be run without it.`,
    pattern: /(if \(tag !== \d+\) \{\n +|^ {12})break;$/gm,
    replacement: `$1throw new Error(\`wrong wire type in tag \${tag}\`);`,
  },
  {
    why: "A message that is longer than its length says is malformed.",
    pattern: / {6}return message;\n {4}\} finally/g,
    replacement: `      if (reader.pos !== end) {
        throw new Error("a field runs past the end of its message");
      }
      return message;
    } finally`,
  },
  {
    why: "etcd has no limit of 100 nested messages: a txn may nest as deep as it has operations.",
    pattern: /previousRecursionDepth >= 100/g,
    replacement: "previousRecursionDepth >= 1000",
  },
];

/** Writes all codecs to `directory`, which holds nothing else. Throws when buf or a rewrite fails. */
export async function generate(directory: string): Promise<void> {
  const proto = import.meta.dir;
  const root = `${proto}/..`;
  const buf = Bun.spawn(
    [
      "node_modules/.bin/buf",
      "generate",
      proto,
      "--template",
      `${proto}/buf.gen.yaml`,
      "-o",
      directory,
    ],
    { cwd: root, stdout: "inherit", stderr: "inherit" },
  );
  if ((await buf.exited) !== 0) throw new Error(`buf generate ended with ${buf.exitCode}`);
  const unused = new Set(rewrites);
  for await (const path of new Glob("**/*.ts").scan(directory)) {
    const file = Bun.file(`${directory}/${path}`);
    let text = await file.text();
    for (const rewrite of rewrites) {
      const before = text;
      text = text.replace(rewrite.pattern, rewrite.replacement);
      if (text !== before) unused.delete(rewrite);
    }
    await Bun.write(file, text);
  }
  for (const { why } of unused) throw new Error(`found nothing to rewrite for: ${why}`);
}

if (import.meta.main) await generate(`${import.meta.dir}/../src/gen`);
