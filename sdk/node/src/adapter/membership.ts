/**
 * The members of rooms: Socket.IO's own adapter keeps them, exactly and at once, and the node gets what it needs for
 * its fan-out.
 */
import { textOf, textsOf } from "../data/keys.js";
import { isReturn } from "../recovery/returning.js";
import { Conn } from "../session/conn.js";
import { patchOutgoing, watchAsked } from "../socketio/internals.js";
import type { Returns } from "./returns.js";
import type { Scope } from "./scope.js";

/** The part of a namespace's adapter for joining and leaving rooms. */
export class Membership {
  private readonly scope: Scope;
  private readonly returns: Returns;

  constructor(scope: Scope, returns: Returns) {
    this.scope = scope;
    this.returns = returns;
  }

  addAll(id: string, rooms: Set<unknown>): void {
    const { adapter, plain, roster } = this.scope;
    const conn = roster.attached.get(id);
    if (conn === undefined) {
      plain.addAll.call(adapter, id, rooms);
      if (!roster.direct.has(id)) this.attach(id);
      return;
    }
    const present = adapter.sids.get(id);
    let fresh: string[] = [];
    for (const room of rooms) if (!present?.has(room)) fresh.push(textOf(room));
    try {
      plain.addAll.call(adapter, id, rooms);
    } catch (error) {
      // A listener of the app threw: tell the node about the rooms that the adapter has by now.
      const joined = new Set(textsOf(adapter.sids.get(id)));
      fresh = fresh.filter((room) => joined.has(room));
      throw error;
    } finally {
      if (fresh.length > 0 && conn.readyState === "open") conn.join(id, adapter.nsp.name, fresh);
    }
  }

  del(id: string, room: unknown): void {
    const { adapter, plain, roster } = this.scope;
    const conn = roster.attached.get(id);
    const had = conn !== undefined && adapter.sids.get(id)?.has(room);
    try {
      plain.del.call(adapter, id, room);
    } finally {
      if (had && conn.readyState === "open") conn.leave(id, adapter.nsp.name, [textOf(room)]);
    }
  }

  /** Forgets a socket: one that is in no room is no longer ours. */
  forget(id: string): void {
    const { adapter, roster } = this.scope;
    const conn = roster.attached.get(id);
    if (conn !== undefined) {
      roster.attached.delete(id);
      // The end of the session ends its sockets; only a session that goes on needs a frame.
      conn.detach(id, adapter.nsp.name);
    }
    if (roster.direct.delete(id) || roster.outgoing.delete(id)) roster.compareInterest();
  }

  /**
   * Tells the node about a socket when it is connected: in Socket.IO broadcasts reach it only from then on. Earlier
   * rooms go along.
   */
  private attach(id: string): void {
    const { adapter, roster } = this.scope;
    const socket = adapter.nsp.sockets.get(id);
    if (socket === undefined) return;
    const { conn } = socket.client;
    if (!(conn instanceof Conn)) {
      roster.direct.set(id, socket);
      this.returns.bringBackDirect(id, socket);
      return roster.compareInterest();
    }
    if (conn.readyState !== "open") return;
    patchOutgoing(socket);
    if (conn.stay !== undefined) watchAsked(socket);
    roster.attached.set(id, conn);
    const rooms: string[] = [];
    for (const room of adapter.sids.get(id) ?? []) if (room !== id) rooms.push(textOf(room));
    const back = this.returns.take(id);
    if (back !== undefined && isReturn(back) && back.conn === conn) conn.reattach(socket, rooms, back);
    else conn.attach(socket, rooms);
    if (socket.listenersAnyOutgoing().length > 0 || conn.watchesPackets) roster.noteOutgoing(socket);
  }
}
