/** `t4 inspect`: what a data directory holds, read without touching it. */
import type { Command } from "./command.ts";
import { UsageError } from "./usage.ts";

const nothing: Command = () => Promise.reject(new UsageError("nothing to inspect yet"));
export const meta = nothing;
export const get = nothing;
export const list = nothing;
export const count = nothing;
export const history = nothing;
export const diff = nothing;
