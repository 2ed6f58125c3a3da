/** Says what a start is doing, and again while that takes long, so that nobody takes it for a hang. */
import type { Clock } from "../lib/clock.ts";
import type { StartStep } from "./rooms.ts";

type Tell = (step: StartStep) => void;

const againMs = 1000;

/** Does `work`; every second the step it is in is told once more. */
export async function repeating<T>(
  { clock, onStep }: { readonly clock: Clock; readonly onStep: Tell },
  work: (onStep: Tell) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  let last: StartStep | undefined;
  const repeat = async () => {
    for (;;) {
      await clock.sleep(againMs, over.signal);
      if (over.signal.aborted) return;
      if (last !== undefined) onStep(last);
    }
  };
  void repeat();
  try {
    return await work((step) => {
      last = step;
      onStep(step);
    });
  } finally {
    over.abort();
  }
}
