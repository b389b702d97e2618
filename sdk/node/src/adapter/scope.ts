/** What the parts of one namespace's adapter share. */
import type { Cluster } from "../cluster/cluster.js";
import { decodePacket } from "../socketio/packets.js";
import type { Recovery } from "../recovery/recovery.js";
import type { AdapterBase, BroadcastOptions, EncodedPart, Packet } from "../socketio/types.js";
import type { Broadcast } from "../trunk/outbound_types.js";
import { reaches } from "./cast.js";
import type { Roster } from "./roster.js";

/** What adapters need of the server that they belong to. */
export interface AdapterHost {
  readonly cluster: Cluster;
  /** Undefined without the app's `connectionStateRecovery`. */
  readonly recovery: Recovery | undefined;
  /** To every trunk. */
  broadcast(broadcast: Broadcast): void;
  /** The app has no such namespace any more. */
  release(nsp: string): void;
  /** What this changes for many sockets leaves in one piece. */
  together(action: () => void): void;
  onUnreadable(nsp: string, error: unknown): void;
}

export interface Scope {
  readonly adapter: AdapterBase;
  /** The prototype of the app's own `Adapter`: its methods look at the sockets of this process only. */
  readonly plain: AdapterBase;
  readonly host: AdapterHost;
  readonly roster: Roster;
}

/** Undefined when the app's parser cannot read the packet: that has been said. */
export function decode({ adapter, host }: Scope, parts: EncodedPart[]): Packet | undefined {
  try {
    return decodePacket(adapter.nsp.server._parser, parts);
  } catch (error) {
    host.onUnreadable(adapter.nsp.name, error);
    return undefined;
  }
}

/** Whether a socket of ours is meant. */
export function matches({ adapter }: Scope, id: string, options: BroadcastOptions): boolean {
  return reaches(options, adapter.sids.get(id));
}
