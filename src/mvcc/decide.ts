/**
 * Decide: a command becomes an action and a reply, or a refusal. Pure and synchronous: it changes
 * nothing, it looks at no clock, and the same draft gives the same decision.
 */
import { unreachable } from "../lib/assert.ts";
import type {
  Command,
  CompactCommand,
  GrantCommand,
  PutCommand,
  RevokeCommand,
} from "../model/command.ts";
import type { Action } from "../model/entry.ts";
import { Refusal } from "../model/refusal.ts";
import type { Reply } from "../model/reply.ts";
import { type Revision, revisionOf } from "../model/revision.ts";
import type { Draft } from "./draft.ts";
import { type Leases, ttlSecondsMax, ttlSecondsMin } from "./leases.ts";
import { decideTxn } from "./txn.ts";

export interface Decision {
  /** What the log is to remember; undefined when the command changes nothing. */
  readonly action: Action | undefined;
  /** The revision of the store once the action is applied. */
  readonly revision: Revision;
  readonly reply: Reply | Refusal;
}

/** Decides `command`. `leases` are the applied ones; the draft knows what is pending on them. */
export function decide(command: Command, draft: Draft, leases: Leases): Decision {
  switch (command.kind) {
    case "put":
      return settled(draft, decidePut(command, draft));
    case "deleteRange":
      return settled(draft, draft.deleteRange(command));
    case "txn":
      return settled(draft, decideTxn(command, draft));
    case "compact":
      return decideCompact(command, draft);
    case "grant":
      return decideGrant(command, draft);
    case "revoke":
      return decideRevoke(command, draft, leases);
    default:
      return unreachable(command);
  }
}

/** A decision that changes keys only: a refusal drops what the draft has. */
function settled(draft: Draft, reply: Reply | Refusal): Decision {
  if (reply instanceof Refusal || draft.changes.length === 0) {
    return { action: undefined, revision: draft.base, reply };
  }
  return { action: { kind: "write", changes: draft.changes }, revision: draft.revision, reply };
}

function decidePut(command: PutCommand, draft: Draft): Reply | Refusal {
  if (command.lease !== 0n && !draft.hasLease(command.lease)) return new Refusal("leaseNotFound");
  return draft.put(command);
}

/** A floor of -1 means "never compacted", so compacting a fresh store at 0 works, once, as in etcd. */
function decideCompact({ revision }: CompactCommand, draft: Draft): Decision {
  if (revision <= draft.floor) return refused(draft, "compacted");
  if (revision > draft.base) return refused(draft, "futureRevision");
  return {
    action: { kind: "compact", floor: revisionOf(revision) },
    revision: draft.base,
    reply: { kind: "compact", revision: draft.base },
  };
}

function decideGrant({ lease, ttlSeconds }: GrantCommand, draft: Draft): Decision {
  if (ttlSeconds > ttlSecondsMax) return refused(draft, "leaseTtlTooLarge");
  if (draft.hasLease(lease)) return refused(draft, "leaseExists");
  const granted = Math.max(ttlSeconds, ttlSecondsMin);
  return {
    action: { kind: "grant", lease, ttlSeconds: granted },
    revision: draft.base,
    reply: { kind: "grant", revision: draft.base, lease, ttlSeconds: granted },
  };
}

/** Revokes a lease and deletes its keys, in key order, at one revision. */
function decideRevoke({ lease }: RevokeCommand, draft: Draft, leases: Leases): Decision {
  if (!draft.hasLease(lease)) return refused(draft, "leaseNotFound");
  const candidates = new Set([...(leases.get(lease)?.keys ?? []), ...draft.pendingKeysOf(lease)]);
  for (const key of [...candidates].sort()) {
    if (draft.head(key)?.lease === lease) draft.delete(key, lease);
  }
  return {
    action: { kind: "revoke", lease, changes: draft.changes },
    revision: draft.revision,
    reply: { kind: "revoke", revision: draft.revision },
  };
}

function refused(draft: Draft, kind: Refusal["kind"]): Decision {
  return { action: undefined, revision: draft.base, reply: new Refusal(kind) };
}
