/** What the parts of one namespace's adapter share. */
import type { Cluster } from "../cluster/cluster.js";
import { decodePacket } from "../socketio/packets.js";
import type { Recovery } from "../recovery/recovery.js";
import type { AdapterBase, BroadcastOptions, EncodedPart, Packet } from "../socketio/types.js";
import type { Operate } from "../trunk/operate.js";
import type { Broadcast } from "../trunk/outbound_types.js";
import { reaches } from "./cast.js";
import type { Roster } from "./roster.js";

/** The parts of the server that its adapters need. */
export interface AdapterHost {
  readonly cluster: Cluster;
  /** Undefined without the app's `connectionStateRecovery`. */
  readonly recovery: Recovery | undefined;
  /** Whether clients may come from other app servers, and go to others. */
  readonly rehomes: boolean;
  /** Sends a broadcast over every trunk. */
  broadcast(broadcast: Broadcast): void;
  /** Does something with the sockets that belong to no app server. */
  operate(operate: Operate): void;
  /** Notes what another app server has called for all sockets. */
  noteOperation(operate: Operate): void;
  /** Notes that the app no longer has this namespace. */
  release(nsp: string): void;
  /** Sends the changes that `action` makes to many sockets in one piece. */
  together(action: () => void): void;
  onUnreadable(nsp: string, error: unknown): void;
}

/** One namespace and its surroundings, shared by the parts of its adapter. */
export interface Scope {
  readonly adapter: AdapterBase;
  /** The prototype of the app's own `Adapter`: its methods visit the sockets of this process only. */
  readonly plain: AdapterBase;
  readonly host: AdapterHost;
  readonly roster: Roster;
}

/** Decodes a packet. Undefined when the app's parser cannot read it, which has been reported. */
export function decode({ adapter, host }: Scope, parts: EncodedPart[]): Packet | undefined {
  try {
    return decodePacket(adapter.nsp.server._parser, parts);
  } catch (error) {
    host.onUnreadable(adapter.nsp.name, error);
    return undefined;
  }
}

/** Whether a broadcast is for a socket of ours. */
export function matches({ adapter }: Scope, id: string, options: BroadcastOptions): boolean {
  return reaches(options, adapter.sids.get(id));
}
