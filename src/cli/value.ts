/**
 * Values as people type them. A kind of value reads one text and returns what it means, or the
 * sentence that completes "--flag must be …" when it cannot be read.
 */
import type { Moment } from "../member/moment.ts";

/** Says what a text should have been. */
export class Unreadable {
  readonly expected: string;

  constructor(expected: string) {
    this.expected = expected;
  }
}

export interface Kind<T> {
  /** Stands for the value in help: "<duration>". Undefined for a switch, which takes no value. */
  readonly hint: string | undefined;
  readonly read: (text: string) => T | Unreadable;
}

/** Any text that is not blank. */
export function text(hint: string): Kind<string> {
  const read = (value: string) => (value.trim() === "" ? new Unreadable(`a ${hint}`) : value);
  return { hint, read };
}

/** True or false. As a flag it may stand alone, which means true. */
export function toggle(): Kind<boolean> {
  return { hint: undefined, read };

  function read(value: string): boolean | Unreadable {
    if (["true", "1", "yes", "on"].includes(value)) return true;
    if (["false", "0", "no", "off"].includes(value)) return false;
    return new Unreadable("true or false");
  }
}

/** A decimal integer from `least` to `most`. */
export function integer(hint: string, least: number, most: number): Kind<number> {
  return { hint, read };

  function read(value: string): number | Unreadable {
    const number = Number(value);
    const fits = /^\d{1,15}$/.test(value) && number >= least && number <= most;
    return fits ? number : new Unreadable(`an integer from ${least} to ${most}`);
  }
}

/** One of a few words; `synonyms` are understood and not advertised. */
export function choice<const Word extends string>(
  words: readonly Word[],
  synonyms: Readonly<Record<string, Word>> = {},
): Kind<Word> {
  return { hint: words.join("|"), read };

  function read(value: string): Word | Unreadable {
    const word = words.find((each) => each === value) ?? synonyms[value];
    return word ?? new Unreadable(either(words));
  }
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A time such as 500ms, 5s, 1m30s or 2h, in milliseconds; from `leastMs` on, a day at most. */
export function duration(leastMs: number): Kind<number> {
  return { hint: "duration", read };

  function read(value: string): number | Unreadable {
    const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
    const whole = parts.length > 0 && parts.map(([part]) => part).join("") === value;
    const ms = parts.reduce((sum, [, count, unit = ""]) => {
      return sum + Number(count) * (unitMs[unit] ?? Number.NaN);
    }, 0);
    if (whole && ms >= leastMs && ms <= 24 * 3_600_000) return ms;
    return new Unreadable(`a duration such as 5s or 1m30s, from ${leastMs}ms to 24h`);
  }
}

const spanMs: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** How often one is kept, and how far back, in milliseconds. */
export interface Step {
  readonly everyMs: number;
  readonly forMs: number;
}

/** Pairs of times such as 1h:24h,1d:30d: one for each of the first, as far back as the second. */
export function ladder(): Kind<readonly Step[]> {
  return { hint: "every:for,...", read };

  function read(value: string): readonly Step[] | Unreadable {
    const steps = value.split(",").map((step) => {
      const [, every, everyUnit = "", far, farUnit = ""] =
        /^([1-9]\d{0,5})([mhdw]):([1-9]\d{0,5})([mhdw])$/.exec(step.trim()) ?? [];
      const everyMs = Number(every) * (spanMs[everyUnit] ?? Number.NaN);
      const forMs = Number(far) * (spanMs[farUnit] ?? Number.NaN);
      return { everyMs, forMs };
    });
    if (steps.every(({ everyMs, forMs }) => everyMs <= forMs)) return steps;
    return new Unreadable("pairs such as 1h:24h,1d:30d, each as long at the back as at the front");
  }
}

/** A revision, or a time as RFC 3339 writes it. */
export function moment(): Kind<Moment> {
  return { hint: "time|revision", read };

  function read(value: string): Moment | Unreadable {
    if (/^\d{1,15}$/.test(value)) return { revision: Number(value) };
    const form = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
    const wallMs = form.test(value) ? Date.parse(value.toUpperCase()) : Number.NaN;
    if (!Number.isNaN(wallMs)) return { wallMs };
    return new Unreadable("a revision, or a time with its zone such as 2026-11-25T13:00:00Z");
  }
}

export interface Address {
  /** A name or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Where to listen: host:port, [ipv6]:port, or :port for every interface. Port 0 takes a free one. */
export function address(): Kind<Address> {
  return { hint: "host:port", read };

  function read(value: string): Address | Unreadable {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(value);
    const port = Number(match?.[3]);
    if (match === null || port > 65_535) return new Unreadable("host:port, such as 127.0.0.1:3379");
    return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
  }
}

/** `address` as host:port, with brackets around an IPv6 host. */
export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Comma-separated http:// or https:// addresses with a host and a port and nothing else. */
export function urls(): Kind<readonly string[]> {
  return { hint: "urls", read };

  function read(value: string): readonly string[] | Unreadable {
    const parts = value.split(",").map((part) => part.trim());
    if (
      parts.every((part) => /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(part))
    )
      return parts;
    return new Unreadable("http://host:port or https://host:port, comma-separated");
  }
}

/** "a, b or c". */
function either(words: readonly string[]): string {
  if (words.length < 2) return words.join();
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
