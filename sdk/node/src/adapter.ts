/**
 * The adapter: rooms are kept here exactly and at once, as in Socket.IO's own, and told to the node, which does the fan-out. A broadcast is
 * one frame to each node, however many receive it.
 */
import { Conn, partOf } from "./conn.js";
import {
  patchOutgoing,
  recordBroadcast,
  watchOutgoing,
  type AdapterConstructor,
  type BroadcastOptions,
  type EncodedPart,
  type IoNamespace,
  type IoSocket,
  type Packet,
} from "./internals.js";
import { BroadcastFlag } from "./trunk/frames.js";
import type { Broadcast } from "./trunk/outbound.js";

/** Where broadcasts go: to every trunk. */
export interface Fanout {
  broadcast(broadcast: Broadcast): void;
}

/** @param records whether the base class keeps packets for connection state recovery */
export function createAdapter(Base: AdapterConstructor, records: boolean, fanout: Fanout): AdapterConstructor {
  return class TrunklineAdapter extends Base {
    /** Sockets that the node knows. */
    private readonly attached = new Map<string, Conn>();
    /** Sockets that came straight to the app's own HTTP server. */
    private readonly direct = new Map<string, IoSocket>();
    /** Sockets with listeners for outgoing packets: only these are looked at in a broadcast. */
    private readonly outgoing = new Map<string, IoSocket>();

    constructor(nsp: IoNamespace) {
      super(nsp);
      watchOutgoing(this, (socket) => {
        if (this.attached.has(socket.id)) this.outgoing.set(socket.id, socket);
      });
    }

    override addAll(id: string, rooms: Set<unknown>): void {
      const conn = this.attached.get(id);
      if (conn === undefined) {
        super.addAll(id, rooms);
        if (!this.direct.has(id)) this.attach(id);
        return;
      }
      const present = this.sids.get(id);
      const fresh: string[] = [];
      for (const room of rooms) if (!present?.has(room)) fresh.push(String(room));
      super.addAll(id, rooms);
      if (fresh.length > 0 && conn.readyState === "open") conn.machine.outbound.join(conn.number, this.nsp.name, fresh);
    }

    override del(id: string, room: unknown): void {
      const conn = this.attached.get(id);
      const had = conn !== undefined && this.sids.get(id)?.has(room);
      super.del(id, room);
      if (had && conn.readyState === "open") conn.machine.outbound.leave(conn.number, this.nsp.name, [String(room)]);
    }

    override delAll(id: string): void {
      super.delAll(id);
      this.direct.delete(id);
      this.outgoing.delete(id);
      const conn = this.attached.get(id);
      if (conn === undefined) return;
      this.attached.delete(id);
      // The end of the session ends its sockets; only a session that goes on needs to be told.
      if (conn.readyState === "open") conn.machine.outbound.detach(conn.number, this.nsp.name);
    }

    override broadcast(packet: Packet, options: BroadcastOptions): void {
      if (records) recordBroadcast(this, () => super.broadcast(packet, options));
      packet.nsp = this.nsp.name;
      const encoded = this.encoder.encode(packet);
      for (const socket of this.outgoing.values()) {
        if (this.matches(socket.id, options)) socket.notifyOutgoingListeners?.(packet);
      }
      fanout.broadcast({
        nsp: this.nsp.name,
        flags: flagsOf(options),
        offset: undefined,
        rooms: strings(options.rooms),
        except: strings(options.except),
        parts: encoded.map(partOf),
      });
      if (this.direct.size > 0) this.broadcastDirect(packet, encoded, options);
    }

    /** A socket is told to the node when it is connected: only then do broadcasts reach it in Socket.IO. Rooms joined before go along. */
    private attach(id: string): void {
      const socket = this.nsp.sockets.get(id);
      if (socket === undefined) return;
      const { conn } = socket.client;
      if (!(conn instanceof Conn)) {
        this.direct.set(id, socket);
        return;
      }
      if (conn.readyState !== "open") return;
      patchOutgoing(socket);
      if (socket.listenersAnyOutgoing().length > 0) this.outgoing.set(id, socket);
      this.attached.set(id, conn);
      const rooms: string[] = [];
      for (const room of this.sids.get(id) ?? []) if (room !== id) rooms.push(String(room));
      conn.machine.outbound.attach(conn.number, this.nsp.name, id, rooms);
    }

    private broadcastDirect(packet: Packet, encoded: EncodedPart[], options: BroadcastOptions): void {
      const packetOptions = { preEncoded: true, volatile: options.flags?.volatile, compress: options.flags?.compress };
      for (const [id, socket] of this.direct) {
        if (!this.matches(id, options)) continue;
        socket.notifyOutgoingListeners?.(packet);
        socket.client.writeToEngine(encoded, packetOptions);
      }
    }

    private matches(id: string, { rooms, except }: BroadcastOptions): boolean {
      const own = this.sids.get(id);
      if (own === undefined) return false;
      if (rooms.size > 0 && !intersect(rooms, own)) return false;
      return except === undefined || except.size === 0 || !intersect(except, own);
    }
  };
}

function flagsOf({ flags }: BroadcastOptions): number {
  let bits = flags?.compress === false ? 0 : BroadcastFlag.compress;
  if (flags?.volatile) bits |= BroadcastFlag.volatile;
  if (flags?.local) bits |= BroadcastFlag.local;
  return bits;
}

function strings(rooms: Set<unknown> | undefined): string[] {
  const list: string[] = [];
  if (rooms !== undefined) for (const room of rooms) list.push(String(room));
  return list;
}

function intersect(some: Set<unknown>, others: Set<unknown>): boolean {
  for (const one of some) if (others.has(one)) return true;
  return false;
}
