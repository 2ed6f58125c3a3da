/** The few calls of the C library that Bun's own modules lack, through bun:ffi. */
import { dlopen } from "bun:ffi";

interface Libc {
  flock(descriptor: number, operation: number): number;
  fcntl(descriptor: number, command: number): number;
  clock_gettime(clock: number, time: BigInt64Array): number;
}

let loaded: Libc | undefined;

/** The C library; opened at first use. Throws an Error where none is found. */
export function libc(): Libc {
  loaded ??= open();
  return loaded;
}

/** CLOCK_BOOTTIME of Linux; macOS's CLOCK_MONOTONIC goes on while the machine sleeps, too. */
const elapsedClock = process.platform === "darwin" ? 6 : 7;
const time = new BigInt64Array(2);

/** Monotonic milliseconds since the machine started, sleep and suspension included. */
export function elapsedMs(): number {
  if (libc().clock_gettime(elapsedClock, time) !== 0) throw new Error("clock_gettime failed");
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

function open(): Libc {
  const names =
    process.platform === "darwin"
      ? ["libSystem.B.dylib"]
      : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
  for (const name of names) {
    try {
      return dlopen(name, {
        flock: { args: ["i32", "i32"], returns: "i32" },
        fcntl: { args: ["i32", "i32"], returns: "i32" },
        clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
      }).symbols;
    } catch {
      // Not this C library: the next name is the other one.
    }
  }
  throw new Error(`no C library found, tried ${names.join(", ")}`);
}
