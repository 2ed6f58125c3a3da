/** A batch that is being staged. */
import { OpenFrame } from "./frame.ts";

/** A frame that is being filled, and the revisions of its entries. */
export class Gathering {
  readonly frame = new OpenFrame();
  firstRevision = 0;
  lastRevision = 0;

  add(bytes: Uint8Array, revision: number): void {
    if (this.frame.count === 0) this.firstRevision = revision;
    this.lastRevision = revision;
    this.frame.add(bytes);
  }
}
