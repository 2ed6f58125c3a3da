/** Frames spoilt: what a broken or hostile client might make of a good one. */
import type { Random } from "../../../src/lib/random.ts";
import { frame, frameHeaderBytes } from "../wire/frame.ts";
import type { Recording } from "./recordings.ts";

const bytes = [0, 1, 2, 4, 8, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff];
const numbers = [
  0,
  1,
  2,
  3,
  5,
  100,
  16_383,
  16_384,
  16_385,
  65_535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
const lengths = [0, 1, 4, 5, 6, 8, 9, 100, 16_384, 16_385, 2 ** 24 - 1];

function one<T>(random: Random, of: readonly T[]): T {
  return of[random.below(of.length)] as T;
}

type Mutation = (good: Buffer, random: Random, all: Recording) => Buffer;

/** A copy that `change` is made to. */
function changed(change: (copy: Buffer, random: Random) => void): Mutation {
  return (good, random) => {
    const copy = Buffer.from(good);
    change(copy, random);
    return copy;
  };
}

/** The frame with another payload, whose length is told as it is. */
function withPayload(good: Buffer, payload: Buffer): Buffer {
  const copy = Buffer.concat([good.subarray(0, frameHeaderBytes), payload]);
  copy.writeUIntBE(payload.length, 0, 3);
  return copy;
}

function noise(random: Random, bound: number): Buffer {
  return Buffer.from(Array.from({ length: random.below(bound) }, () => random.below(256)));
}

const mutations: readonly Mutation[] = [
  // A bit, a byte, a number, anywhere.
  changed((copy, random) => {
    const at = random.below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  }),
  changed((copy, random) => {
    copy[random.below(copy.length)] = one(random, bytes);
  }),
  changed((copy, random) => {
    if (copy.length < 13) return;
    const at = frameHeaderBytes + random.below(copy.length - frameHeaderBytes - 3);
    copy.writeUInt32BE(one(random, numbers), at);
  }),
  // The header's parts.
  changed((copy, random) => copy.writeUIntBE(one(random, lengths), 0, 3)),
  changed((copy, random) => {
    const length = copy.readUIntBE(0, 3) + random.below(7) - 3;
    copy.writeUIntBE(Math.max(0, length), 0, 3);
  }),
  changed((copy, random) => {
    copy[3] = random.below(12);
  }),
  changed((copy, random) => {
    copy[4] = one(random, bytes) | one(random, bytes);
  }),
  changed((copy, random) => copy.writeUInt32BE(one(random, numbers), 5)),
  changed((copy, random) => copy.writeUInt32BE(random.below(12), 5)),
  // The payload, whose length is right.
  (good, random) =>
    withPayload(good, good.subarray(frameHeaderBytes, 9 + random.below(good.length))),
  (good, random) =>
    withPayload(good, Buffer.concat([good.subarray(frameHeaderBytes), noise(random, 40)])),
  (good, random, all) => withPayload(good, one(random, all).subarray(frameHeaderBytes)),
  (good, random) => withPayload(good, noise(random, 300)),
  (good, random) => {
    const at = frameHeaderBytes + random.below(good.length - frameHeaderBytes + 1);
    const parts = [good.subarray(frameHeaderBytes, at), noise(random, 10), good.subarray(at)];
    return withPayload(good, Buffer.concat(parts));
  },
  // Frames, more or fewer or others.
  () => Buffer.alloc(0),
  (good, random) => Buffer.concat(Array.from({ length: 2 + random.below(20) }, () => good)),
  (good, random, all) => Buffer.concat([one(random, all), good]),
  (good, random, all) => Buffer.concat([good, one(random, all)]),
  (good, random) => good.subarray(0, random.below(good.length)),
  (good, random) =>
    Buffer.concat([
      frame(random.below(11), one(random, bytes), random.below(10), noise(random, 60)),
      good,
    ]),
  (_, random) => noise(random, 60),
];

export interface Spoilt {
  readonly bytes: Buffer;
  /** How many of its frames are not as they were. */
  readonly mutated: number;
}

/** The frames of `recording`, each spoilt with a likelihood that is drawn first. */
export function spoilt(recording: Recording, random: Random): Spoilt {
  const likelihood = one(random, [0.08, 0.2, 0.5, 1]);
  let mutated = 0;
  const frames = recording.map((good) => {
    if (random.float() >= likelihood) return good;
    mutated++;
    return one(random, mutations)(good, random, recording);
  });
  return { bytes: Buffer.concat(frames), mutated };
}
