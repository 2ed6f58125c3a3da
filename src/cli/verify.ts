/** `t4 verify`: checks every byte of a data directory. */
import type { Command } from "./command.ts";
import { UsageError } from "./usage.ts";

export const verify: Command = () => Promise.reject(new UsageError("nothing to verify yet"));
