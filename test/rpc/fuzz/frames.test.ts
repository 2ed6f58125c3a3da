/**
 * Sessions of good clients, spoilt at random, sent to a live server: it neither dies nor takes it
 * for its own fault, each connection comes to its end, and another client is answered as ever.
 */
import { expect, test } from "bun:test";
import { type Random, SeededRandom } from "../../../src/lib/random.ts";
import { amount, say, seedsUpTo, tryEach } from "../../support/effort.ts";
import { Bystander, Victim } from "../victim/victim.ts";
import * as wire from "../wire/frame.ts";
import { Peer } from "../wire/peer.ts";
import { spoilt } from "./mutate.ts";
import { type Recording, recorded, written } from "./recordings.ts";

const framesOfASeed = 2500;
const seeds = seedsUpTo(amount(20, 4, 800));
const lanes = 8;

test("the sessions are good before they are spoilt", async () => {
  await using victim = await Victim.open();
  for (const recording of [...written(), await recorded(victim.port)]) {
    const peer = await session(victim.port, Buffer.concat(recording), new SeededRandom(1));
    expect(peer.goAway?.error ?? "NO_ERROR").toBe("NO_ERROR");
    for (const stream of [1, 3]) expect(peer.isOver(stream)).toBe(true);
  }
});

test(
  "spoilt sessions harm nobody",
  async () => {
    await using victim = await Victim.open();
    using bystander = new Bystander(victim.port);
    await bystander.answered();
    const recordings = [...written(), await recorded(victim.port)];
    let frames = 0;
    let sessions = 0;
    await tryEach(seeds, import.meta.path, async (seed) => {
      let left = framesOfASeed;
      let number = 0;
      const lane = async () => {
        while (left > 0) {
          // Of its own seed, so that it does not depend on when its neighbours are done.
          const random = new SeededRandom(seed * 100_000 + number++);
          const { bytes, mutated } = spoilt(pick(random, recordings), random);
          left -= mutated;
          frames += mutated;
          sessions++;
          await session(victim.port, bytes, random);
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
      await bystander.answered();
      expect(bystander.complaints).toEqual([]);
      expect((await victim.condition()).complaints).toEqual([]);
    });
    say(
      `${frames} mutated frames in ${sessions} sessions, ${bystander.answers} answers beside them`,
    );
    let { running, streams } = await victim.condition();
    while (streams > 0 || running > 1) ({ running, streams } = await victim.condition());
  },
  amount(120_000, 120_000, 3_600_000),
);

function pick(random: Random, recordings: readonly Recording[]): Recording {
  return recordings[random.below(recordings.length)] as Recording;
}

/** Sends a session, in one piece or in several, and waits for the end of its connection. */
async function session(port: number, bytes: Buffer, random: Random): Promise<Peer> {
  const cuts = Array.from({ length: random.below(4) }, () => random.below(bytes.length + 1));
  await using peer = await Peer.connect(port, { mute: true });
  peer.write(wire.preface);
  let from = 0;
  for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
    peer.write(bytes.subarray(from, cut));
    await peer.drained();
    from = cut;
  }
  // What is not complete now never will be: the server must see that.
  peer.end();
  await peer.until(() => peer.closed);
  expect(peer.referee.violations).toEqual([]);
  return peer;
}
