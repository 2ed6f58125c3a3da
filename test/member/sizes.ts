/** How large everything is in the lives of members. */
import { defaultSettings, type Settings } from "../../src/member/limits.ts";

/** So small that segments, memtables and runs turn over all the time. */
export const settings: Settings = {
  ...defaultSettings,
  segmentBytesMax: 6144,
  segmentAgeMsMax: 3000,
  memtableBytesMax: 4096,
  cacheBytesMax: 131_072,
};
/** As where many callers write to a slow device: a batch is applied while the next is synced. */
export const pipelined: Settings = { ...settings, fewCallersMax: 0, quickSyncMsMax: -1 };
