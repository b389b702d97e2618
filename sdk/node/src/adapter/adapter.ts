/**
 * The adapter of a namespace. Its class extends the app's own copy of socket.io-adapter's. It only distributes the
 * work: {@link Membership} handles rooms, {@link Delivery} broadcasts, {@link Acknowledged} broadcasts with
 * acknowledgements, {@link Remote} the sockets of other app servers, and {@link Returns} clients that return.
 */
import { randomInt } from "node:crypto";
import type { Member } from "../cluster/cluster.js";
import { runErrand } from "../cluster/errands.js";
import { OwnType, type ClusterMessage, type MessageData } from "../cluster/messages.js";
import { textsOf } from "../data/keys.js";
import { ARRIVING } from "../session/stay.js";
import { DirectLog } from "../recovery/direct_log.js";
import type { Bases } from "../socketio/bases.js";
import { guardNamespace, watchConnecting, watchOutgoing } from "../socketio/internals.js";
import {
  MessageType,
  type AdapterBase,
  type AdapterConstructor,
  type BroadcastOptions,
  type FetchedSocket,
  type IoNamespace,
  type Packet,
  type PersistedSession,
  type RestoredSession,
} from "../socketio/types.js";
import { Acknowledged } from "./acknowledged.js";
import { Delivery } from "./delivery.js";
import { Membership } from "./membership.js";
import { operateOf, Remote } from "./remote.js";
import { Returns } from "./returns.js";
import { Roster } from "./roster.js";
import type { AdapterHost, Scope } from "./scope.js";

/**
 * The first number of a packet that wants an acknowledgement is below this. A client that came from another app server
 * may still answer that one, with a number that must mean nothing here. Many clients read numbers of 31 bits only.
 */
const FIRST_ASK_MAX = 2 ** 28;

/** Creates the adapter class for an app's copy of Socket.IO. */
export function createAdapter(bases: Bases, host: AdapterHost): AdapterConstructor {
  const { cluster, recovery } = host;
  const plain = bases.Adapter.prototype as AdapterBase;

  return class TrunklineAdapter extends bases.Adapter implements Member {
    /** The id of this app server in messages, under the name that other adapters use. */
    readonly uid = cluster.id;
    private readonly roster = new Roster((on) => cluster.tellInterest(this.nsp.name, on));
    private readonly remote = new Remote(this, host);
    private readonly returns: Returns;
    private readonly membership: Membership;
    private readonly delivery: Delivery;
    private readonly acknowledged: Acknowledged;

    constructor(nsp: IoNamespace) {
      super(nsp);
      const { roster, remote } = this;
      const scope: Scope = { adapter: this, plain, host, roster };
      this.returns = new Returns(scope);
      this.membership = new Membership(scope, this.returns);
      this.delivery = new Delivery(scope, remote);
      this.acknowledged = new Acknowledged(scope, remote, this.delivery);
      if (recovery !== undefined) {
        roster.log = new DirectLog(recovery.keepMs, () => roster.compareInterest());
        watchConnecting(nsp, (conn, auth) => ARRIVING.get(conn as object)?.arrivalOf(auth));
        if (host.rehomes) nsp._ids = randomInt(FIRST_ASK_MAX);
      }
      watchOutgoing(this, (socket) => {
        if (roster.attached.has(socket.id)) roster.noteOutgoing(socket);
      });
      cluster.register(nsp.name, this);
      // Not in `init`, because socket.io 4.6 does not call it.
      guardNamespace(nsp, TrunklineAdapter);
    }

    override close(): void {
      cluster.unregister(this.nsp.name, this);
      host.release(this.nsp.name);
    }

    get isInterested(): boolean {
      return this.roster.isInterested;
    }

    override addAll(id: string, rooms: Set<unknown>): void {
      this.membership.addAll(id, rooms);
    }

    override del(id: string, room: unknown): void {
      this.membership.del(id, room);
    }

    override delAll(id: string): void {
      super.delAll(id);
      this.acknowledged.leave(id);
      this.returns.release(id);
      this.membership.forget(id);
    }

    override broadcast(packet: Packet, options: BroadcastOptions): void {
      this.delivery.broadcast(packet, options);
    }

    override broadcastWithAck(
      packet: Packet,
      options: BroadcastOptions,
      count: (clients: number) => void,
      answered: (value: unknown) => void,
    ): void {
      this.acknowledged.broadcast(packet, options, count, answered);
    }

    override async sockets(rooms: Set<unknown>): Promise<Set<string>> {
      const all = await this.fetchSockets({ rooms, except: new Set(), flags: {} });
      return new Set(all.map(({ id }) => id));
    }

    override async fetchSockets(options: BroadcastOptions): Promise<FetchedSocket[]> {
      return this.remote.fetchSockets(options, plain.fetchSockets.call(this, options));
    }

    override addSockets(options: BroadcastOptions, rooms: unknown[]): void {
      this.remote.join(options, textsOf(rooms));
      host.together(() => plain.addSockets.call(this, options, rooms));
    }

    override delSockets(options: BroadcastOptions, rooms: unknown[]): void {
      this.remote.leave(options, textsOf(rooms));
      host.together(() => plain.delSockets.call(this, options, rooms));
    }

    override disconnectSockets(options: BroadcastOptions, close: boolean): void {
      this.remote.disconnect(options, close);
      host.together(() => plain.disconnectSockets.call(this, options, close));
    }

    override serverSideEmit(packet: unknown[]): void {
      this.remote.serverSideEmit(packet);
    }

    override serverCount(): Promise<number> {
      return Promise.resolve(cluster.serverCount);
    }

    override persistSession(session: PersistedSession): void {
      this.returns.persist(session);
    }

    override async restoreSession(pid: string, offset: string): Promise<RestoredSession | null> {
      return this.returns.restore(pid, offset);
    }

    handleClusterMessage(message: ClusterMessage): void {
      const { type, uid, data } = message;
      const answer = (kind: number, own: MessageData, sharesParts?: boolean): void =>
        void cluster.publish(kind, this.nsp.name, own, [uid], sharesParts);
      const operate = operateOf(message);
      if (operate !== undefined) host.noteOperation(operate);
      if (type === OwnType.takeOver) return this.returns.handleTakeOver(message);
      if (type !== MessageType.BROADCAST) runErrand(this, plain, message, answer);
      else if (data.requestId === undefined || data.everybody) this.delivery.handleBroadcast(data);
      else return this.acknowledged.handleAsk(uid, data.requestId, data);
      const isOperation = type === MessageType.BROADCAST || OPERATIONS.has(type);
      if (isOperation && data.requestId !== undefined) answer(OwnType.done, { requestId: data.requestId });
    }
  };
}

const OPERATIONS: ReadonlySet<number> = new Set([
  MessageType.SOCKETS_JOIN,
  MessageType.SOCKETS_LEAVE,
  MessageType.DISCONNECT_SOCKETS,
]);
