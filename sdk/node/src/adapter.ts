/**
 * The adapter: rooms are kept here exactly and at once, as in Socket.IO's own, and told to the node, which does the fan-out. A broadcast is
 * one frame to each node, however many receive it. What concerns the sockets of other app servers goes through {@link Cluster}.
 */
import type { Bases } from "./bases.js";
import { AskSum, OwnAsks, type AskListener } from "./cluster/asks.js";
import type { Cluster, Member } from "./cluster/cluster.js";
import { runErrand } from "./cluster/errands.js";
import { OwnType, type ClusterMessage, type MessageData } from "./cluster/messages.js";
import { decodeOptions, encodeOptions, socketOf } from "./cluster/rooms.js";
import { castOf, flagsOf, reaches, type Cast } from "./cast.js";
import { Conn, partOf } from "./conn.js";
import {
  connectingConn,
  MessageType,
  PacketType,
  guardNamespace,
  patchOutgoing,
  watchConnecting,
  watchOutgoing,
  type AdapterBase,
  type AdapterConstructor,
  type BroadcastOptions,
  type EncodedPart,
  type FetchedSocket,
  type IoNamespace,
  type IoSocket,
  type Packet,
  type PersistedSession,
  type RestoredSession,
} from "./internals.js";
import { keyOf, textOf, textsOf } from "./keys.js";
import { DirectLog } from "./direct_log.js";
import { decodePacket } from "./packets.js";
import { isRecorded, type Recovery } from "./recovery.js";
import { isReturn, Returning } from "./returning.js";
import type { Broadcast, PartData } from "./trunk/outbound.js";

/** As in socket.io-adapter. */
const ANSWER_MS = 5_000;
/** How long an operation on sockets of other app servers may keep broadcasts on the way that it took. */
const SETTLE_MS_MAX = 1_000;

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

export function createAdapter(bases: Bases, host: AdapterHost): AdapterConstructor {
  const { cluster, recovery } = host;
  const plain = bases.Adapter.prototype as AdapterBase;

  return class TrunklineAdapter extends bases.Adapter implements Member {
    /** Who we are in messages, as in other adapters. */
    readonly uid = cluster.id;
    /** Sockets that the node knows. */
    private readonly attached = new Map<string, Conn>();
    /** Sockets that came straight to the app's own HTTP server. */
    private readonly direct = new Map<string, IoSocket>();
    /** Sockets behind Trunkline that something listens to for outgoing packets: only these are looked at in a broadcast. */
    private readonly outgoing = new Map<string, IoSocket>();
    private readonly asks = new OwnAsks((socket, id) => this.nsp.sockets.get(socket)?.acks.delete(id));
    private readonly log = recovery === undefined ? undefined : new DirectLog(recovery.keepMs, () => this.compareInterest());
    /** Sockets that were restored and are not connected yet. */
    private readonly returning = new Returning();
    private interestTold = false;
    /** Operations on sockets of other app servers that these have not confirmed. */
    private unsettled = 0;

    constructor(nsp: IoNamespace) {
      super(nsp);
      if (recovery !== undefined) watchConnecting(nsp);
      watchOutgoing(this, (socket) => {
        if (!this.attached.has(socket.id)) return;
        this.outgoing.set(socket.id, socket);
        this.compareInterest();
      });
      cluster.register(nsp.name, this);
      // Not in `init`, which socket.io 4.6 does not call.
      guardNamespace(nsp, TrunklineAdapter);
    }

    override close(): void {
      cluster.unregister(this.nsp.name, this);
      host.release(this.nsp.name);
    }

    get isInterested(): boolean {
      return this.outgoing.size > 0 || this.direct.size > 0 || this.log?.isInUse === true;
    }

    override addAll(id: string, rooms: Set<unknown>): void {
      const conn = this.attached.get(id);
      if (conn === undefined) {
        super.addAll(id, rooms);
        if (!this.direct.has(id)) this.attach(id);
        return;
      }
      const present = this.sids.get(id);
      let fresh: string[] = [];
      for (const room of rooms) if (!present?.has(room)) fresh.push(textOf(room));
      try {
        super.addAll(id, rooms);
      } catch (error) {
        // A listener of the app threw: the node knows as many rooms as the adapter has by now.
        const joined = new Set(textsOf(this.sids.get(id)));
        fresh = fresh.filter((room) => joined.has(room));
        throw error;
      } finally {
        if (fresh.length > 0 && conn.readyState === "open") conn.join(id, this.nsp.name, fresh);
      }
    }

    override del(id: string, room: unknown): void {
      const conn = this.attached.get(id);
      const had = conn !== undefined && this.sids.get(id)?.has(room);
      try {
        super.del(id, room);
      } finally {
        if (had && conn.readyState === "open") conn.leave(id, this.nsp.name, [textOf(room)]);
      }
    }

    override delAll(id: string): void {
      super.delAll(id);
      this.asks.leave(id);
      this.returning.release(id);
      const conn = this.attached.get(id);
      if (conn !== undefined) {
        this.attached.delete(id);
        // The end of the session ends its sockets; only a session that goes on needs to be told.
        conn.detach(id, this.nsp.name);
      }
      if (this.direct.delete(id) || this.outgoing.delete(id)) this.compareInterest();
    }

    override broadcast(packet: Packet, options: BroadcastOptions): void {
      packet.nsp = this.nsp.name;
      const offset = recovery !== undefined && isRecorded(packet, options) ? recovery.nextOffset() : undefined;
      if (offset !== undefined) (packet.data as unknown[]).push(offset);
      const encoded = this.encoder.encode(packet);
      const parts = encoded.map(partOf);
      const cast = castOf(plain, options, encoded, () => packet);
      this.notifyOutgoing(cast);
      if (options.flags?.local) this.fanOut(options, parts, offset);
      // A recorded packet must not come to two app servers' sockets by two ways: the log has one order for all of them.
      else if (this.unsettled === 0 || offset !== undefined) this.broadcastToAll(options, parts, offset);
      else this.broadcastInOrder(options, parts);
      this.deliverDirect(cast, offset);
    }

    override broadcastWithAck(packet: Packet, options: BroadcastOptions, count: (clients: number) => void, answered: (value: unknown) => void): void {
      const { timeout, local } = options.flags ?? {};
      const peers = local ? [] : cluster.peerIds();
      const sum = new AskSum([cluster.id, ...peers], cluster.serverCount, timeout, count, answered);
      const requestId = cluster.open(sum);
      const settle = (isDone: boolean): void => {
        if (isDone) cluster.settle(requestId, cluster.id);
      };
      if (peers.length > 0) {
        const parts = this.encoder.encode({ type: packet.type, nsp: this.nsp.name, data: packet.data }).map(partOf);
        cluster.publish(MessageType.BROADCAST, this.nsp.name, { requestId, parts, opts: encodeOptions(options) });
        // It is on its way to other app servers: what is broadcast next must not overtake it. A join of no rooms changes nothing, and its
        // confirmation says that all before it has taken effect.
        this.operate(MessageType.SOCKETS_JOIN, { opts: encodeOptions(options), rooms: [] });
      }
      let expected = 0;
      const { id, clients } = this.askOwn(packet.data, options, {
        onAnswer: (value) => settle(sum.addAnswer(cluster.id, value)),
        onLeft: () => settle(sum.setExpected(cluster.id, --expected)),
      });
      // Socket.IO takes back the callbacks of this number when its own time limit has passed.
      packet.id = id;
      packet.nsp = this.nsp.name;
      expected = clients;
      settle(sum.setExpected(cluster.id, expected));
    }

    override async sockets(rooms: Set<unknown>): Promise<Set<string>> {
      const all = await this.fetchSockets({ rooms, except: new Set(), flags: {} });
      return new Set(all.map(({ id }) => id));
    }

    override async fetchSockets(options: BroadcastOptions): Promise<FetchedSocket[]> {
      const own = plain.fetchSockets.call(this, options);
      const missing = options.flags?.local ? [] : cluster.peerIds();
      if (missing.length === 0) return own;
      return new Promise<FetchedSocket[]>((resolve, reject) => {
        const remote: FetchedSocket[] = [];
        const timeoutMs = options.flags?.timeout || ANSWER_MS;
        cluster.ask(MessageType.FETCH_SOCKETS, this.nsp.name, { opts: encodeOptions(options) }, {
          missing,
          timeoutMs,
          onAnswer: (_peer, { data }) => {
            for (const socket of data.sockets ?? []) remote.push(socketOf(socket));
            return true;
          },
          onDone: () => void own.then((sockets) => resolve([...sockets, ...remote]), reject),
          onTimeout: (count) => reject(new Error(`timeout reached: missing ${count} responses`)),
        });
      });
    }

    override addSockets(options: BroadcastOptions, rooms: unknown[]): void {
      if (!options.flags?.local) this.operate(MessageType.SOCKETS_JOIN, { opts: encodeOptions(options), rooms: textsOf(rooms) });
      host.together(() => plain.addSockets.call(this, options, rooms));
    }

    override delSockets(options: BroadcastOptions, rooms: unknown[]): void {
      if (!options.flags?.local) this.operate(MessageType.SOCKETS_LEAVE, { opts: encodeOptions(options), rooms: textsOf(rooms) });
      host.together(() => plain.delSockets.call(this, options, rooms));
    }

    override disconnectSockets(options: BroadcastOptions, close: boolean): void {
      if (!options.flags?.local) this.operate(MessageType.DISCONNECT_SOCKETS, { opts: encodeOptions(options), close });
      host.together(() => plain.disconnectSockets.call(this, options, close));
    }

    override serverSideEmit(packet: unknown[]): void {
      const last = packet[packet.length - 1];
      if (typeof last !== "function") return cluster.publish(MessageType.SERVER_SIDE_EMIT, this.nsp.name, { packet });
      const done = last as (error: Error | null, answers: unknown[]) => void;
      const missing = cluster.peerIds();
      const answers: unknown[] = [];
      if (missing.length === 0) return queueMicrotask(() => done(null, answers));
      cluster.ask(MessageType.SERVER_SIDE_EMIT, this.nsp.name, { packet: packet.slice(0, -1) }, {
        missing,
        timeoutMs: ANSWER_MS,
        onAnswer: (_peer, { data }) => {
          answers.push(data.packet);
          return true;
        },
        onDone: () => done(null, answers),
        onTimeout: (count) => done(new Error(`timeout reached: missing ${count} responses`), answers),
      });
    }

    override serverCount(): Promise<number> {
      return Promise.resolve(cluster.serverCount);
    }

    override persistSession(session: PersistedSession): void {
      const conn = this.attached.get(session.sid);
      if (conn !== undefined) recovery?.persist(conn, this.nsp.name, session);
      else if (this.direct.has(session.sid)) this.log?.persist(session);
    }

    override async restoreSession(pid: string, offset: string): Promise<RestoredSession | null> {
      // Only here: behind the first `await` it may be another's.
      const conn = connectingConn(this.nsp);
      if (recovery === undefined || conn === undefined) return null;
      if (!(conn instanceof Conn)) return this.restoreDirect(pid, offset);
      return recovery.restore(this.nsp.name, conn, pid, offset, {
        takeOver: (sid) => this.takeOver(sid, conn),
        onGiven: (back) => this.returning.add(back.sid, back),
        onUnused: (back) => this.returning.release(back.sid, back),
      });
    }

    private restoreDirect(pid: string, offset: string): RestoredSession | null {
      const taken = this.log?.takenBy(pid);
      if (taken !== undefined) void this.giveUp(taken, false);
      const session = this.log?.restore(pid, offset) ?? null;
      if (session !== null) this.returning.add(session.sid, { pid, offset, release: () => this.log?.release(pid) });
      return session;
    }

    /** Ends a socket that was restored before, wherever it lives, so that its client's later connection can have it. */
    private async takeOver(sid: string, by: Conn): Promise<void> {
      // A client that connects twice at once in one session has it already, and the other one is new.
      const has = this.attached.get(sid) ?? this.returning.connOf(sid);
      if (has === by) return;
      const own = this.giveUp(sid, false);
      const missing = cluster.peerIds();
      if (missing.length > 0) {
        await new Promise<void>((resolve) => {
          cluster.ask(OwnType.takeOver, this.nsp.name, { socket: textOf(sid) }, {
            missing,
            timeoutMs: SETTLE_MS_MAX,
            onAnswer: (_peer, answer) => answer.type === OwnType.done,
            onDone: resolve,
            onTimeout: () => resolve(),
          });
        });
      }
      await own;
    }

    /** Its client is connected elsewhere: see {@link Returning.giveUp}. */
    private giveUp(sid: string, isElsewhere: boolean): Promise<void> {
      return this.returning.giveUp(sid, isElsewhere, this.nsp.sockets.get(sid), this.attached.get(sid));
    }

    handleClusterMessage(message: ClusterMessage): void {
      const { type, uid, data } = message;
      const answer = (kind: number, own: MessageData): void => cluster.publish(kind, this.nsp.name, own, [uid]);
      if (type !== MessageType.BROADCAST) runErrand(this, plain, message, answer);
      else if (data.requestId === undefined || data.everybody) this.handleBroadcast(data);
      else return this.handleAsk(uid, data.requestId, data);
      if (type === OwnType.takeOver) {
        const { requestId, socket } = data;
        void this.giveUp(keyOf(socket) as string, true).then(() => answer(OwnType.done, { requestId }));
        return;
      }
      const isOperation = type === MessageType.BROADCAST || OPERATIONS.has(type);
      if (isOperation && data.requestId !== undefined) cluster.publish(OwnType.done, this.nsp.name, { requestId: data.requestId }, [uid]);
    }

    /** A socket is told to the node when it is connected: only then do broadcasts reach it in Socket.IO. Rooms joined before go along. */
    private attach(id: string): void {
      const socket = this.nsp.sockets.get(id);
      if (socket === undefined) return;
      const { conn } = socket.client;
      if (!(conn instanceof Conn)) {
        this.direct.set(id, socket);
        this.bringBackDirect(id, socket);
        return this.compareInterest();
      }
      if (conn.readyState !== "open") return;
      patchOutgoing(socket);
      this.attached.set(id, conn);
      const rooms: string[] = [];
      for (const room of this.sids.get(id) ?? []) if (room !== id) rooms.push(textOf(room));
      const back = this.returning.take(id);
      if (back !== undefined && isReturn(back) && back.conn === conn) conn.reattach(socket, rooms, back);
      else conn.attach(socket, rooms);
      if (socket.listenersAnyOutgoing().length === 0 && !conn.watchesPackets) return;
      this.outgoing.set(id, socket);
      this.compareInterest();
    }

    private bringBackDirect(id: string, socket: IoSocket): void {
      const back = this.returning.take(id);
      if (back === undefined || isReturn(back)) return;
      const missed = this.log?.missed(back.pid, back.offset);
      for (const data of missed ?? []) socket.packet({ type: PacketType.EVENT, data });
      // Its place in the log went while its middlewares ran.
      if (missed === undefined) (socket.client.conn as { close(): void }).close();
    }

    private compareInterest(): void {
      if (this.isInterested === this.interestTold) return;
      this.interestTold = this.isInterested;
      cluster.tellInterest(this.nsp.name, this.interestTold);
    }

    /** One frame to each node, and a message to each app server that has reason to see what its sockets get. */
    private broadcastToAll(options: BroadcastOptions, parts: PartData[], offset: string | undefined): void {
      this.fanOut(options, parts, offset);
      const interested = cluster.interestedIn(this.nsp.name);
      if (interested.size === 0) return;
      cluster.publish(MessageType.BROADCAST, this.nsp.name, { parts, opts: encodeOptions(options), offset }, interested);
    }

    /**
     * Behind an operation that is still on its way to other app servers, a broadcast to their sockets takes the same way, so that it finds
     * the rooms as the app left them.
     */
    private broadcastInOrder(options: BroadcastOptions, parts: PartData[]): void {
      this.operate(MessageType.BROADCAST, { parts, opts: encodeOptions(options), everybody: true });
      this.fanOut({ ...options, flags: { ...options.flags, local: true } }, parts, undefined);
    }

    private operate(type: number, data: MessageData): void {
      const missing = cluster.peerIds();
      if (missing.length === 0) return;
      this.unsettled++;
      const settled = (): void => void this.unsettled--;
      cluster.ask(type, this.nsp.name, data, {
        missing,
        timeoutMs: SETTLE_MS_MAX,
        onAnswer: (_peer, answer) => answer.type === OwnType.done,
        onDone: settled,
        onTimeout: settled,
      });
    }

    private fanOut(options: BroadcastOptions, parts: PartData[], offset: string | undefined): void {
      const { rooms, except } = options;
      host.broadcast({ nsp: this.nsp.name, flags: flagsOf(options), offset, rooms: textsOf(rooms), except: textsOf(except), parts });
    }

    private handleBroadcast({ parts = [], opts, offset, everybody }: MessageData): void {
      const options = decodeOptions(opts);
      let packet: Packet | undefined;
      const cast = castOf(plain, options, parts, () => (packet ??= this.decode(parts)));
      this.notifyOutgoing(cast);
      if (everybody) this.fanOut({ ...options, flags: { ...options.flags, local: true } }, parts, undefined);
      this.deliverDirect(cast, offset);
    }

    private handleAsk(asker: string, requestId: string, { parts = [], opts }: MessageData): void {
      const options = decodeOptions(opts);
      const packet = this.decode(parts);
      const tell = (type: number, data: MessageData): void => cluster.publish(type, this.nsp.name, { ...data, requestId }, [asker]);
      if (packet === undefined) return tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount: 0 });
      let clientCount = 0;
      const { clients } = this.askOwn(packet.data, options, {
        onAnswer: (value) => tell(MessageType.BROADCAST_ACK, { packet: value }),
        onLeft: () => tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount: --clientCount }),
      });
      clientCount = clients;
      tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount });
    }

    /** Asks the sockets of this app server: those behind Trunkline with one frame. Returns the packet's number and how many were asked. */
    private askOwn(data: unknown, options: BroadcastOptions, listener: AskListener): { id: number; clients: number } {
      const id = this.nsp._ids++;
      const packet: Packet = { type: PacketType.EVENT, nsp: this.nsp.name, data, id };
      const encoded = this.encoder.encode(packet);
      const cast = castOf(plain, options, encoded, () => packet);
      const asked: string[] = [];
      plain.apply.call(this, options, (socket) => {
        asked.push(socket.id);
        socket.acks.set(id, (value) => this.asks.answer(id, socket.id, value));
        socket.notifyOutgoingListeners?.(packet);
        this.write(socket, cast);
      });
      // One client that has left has no answer to give; who asked it alone learns so from the time limit, as in Socket.IO.
      const onLeft = options.flags?.expectSingleResponse ? () => undefined : () => listener.onLeft();
      this.asks.open(id, asked, options.flags?.timeout, { onAnswer: (value) => listener.onAnswer(value), onLeft });
      if (asked.some((socket) => this.attached.has(socket))) {
        this.fanOut({ ...options, flags: { ...options.flags, local: true } }, encoded.map(partOf), undefined);
      }
      return { id, clients: asked.length };
    }

    private notifyOutgoing(cast: Cast): void {
      for (const socket of this.outgoing.values()) {
        if (!this.matches(socket.id, cast.options)) continue;
        const seen = cast.packet();
        if (seen !== undefined) socket.notifyOutgoingListeners?.(seen);
        this.write(socket, cast);
      }
    }

    private deliverDirect(cast: Cast, offset: string | undefined): void {
      if (this.direct.size === 0 && this.log?.isInUse !== true) return;
      if (offset !== undefined) this.log?.record(offset, cast.options, cast.packet()?.data);
      for (const [id, socket] of this.direct) {
        if (!this.matches(id, cast.options)) continue;
        const seen = socket.listenersAnyOutgoing().length > 0 ? cast.packet() : undefined;
        if (seen !== undefined) socket.notifyOutgoingListeners?.(seen);
        this.write(socket, cast);
      }
    }

    /** To the connection of a direct client; those behind Trunkline get it from the node, and here only who listens for it. */
    private write(socket: IoSocket, cast: Cast): void {
      const conn = this.attached.get(socket.id);
      if (conn?.watchesPackets) conn.reportWritten(cast.encoded, cast.written());
      else if (conn === undefined && this.direct.has(socket.id)) socket.client.writeToEngine(cast.encoded, cast.written());
    }

    private decode(parts: EncodedPart[]): Packet | undefined {
      try {
        return decodePacket(this.nsp.server._parser, parts);
      } catch (error) {
        host.onUnreadable(this.nsp.name, error);
        return undefined;
      }
    }

    private matches(id: string, options: BroadcastOptions): boolean {
      return reaches(options, this.sids.get(id));
    }
  };
}

const OPERATIONS: ReadonlySet<number> = new Set([MessageType.SOCKETS_JOIN, MessageType.SOCKETS_LEAVE, MessageType.DISCONNECT_SOCKETS]);
