/**
 * Sockets of clients that return to a namespace: what the node or this process keeps of them, and which connection has
 * a claim to it.
 */
import { keyOf, textOf } from "../data/keys.js";
import { OwnType, type ClusterMessage } from "../cluster/messages.js";
import { isReturn, Returning, type DirectReturn } from "../recovery/returning.js";
import type { Return } from "../recovery/recovery.js";
import { Conn } from "../session/conn.js";
import { ARRIVING, StayBit } from "../session/stay.js";
import { connectingConn } from "../socketio/internals.js";
import { PacketType, type IoSocket, type PersistedSession, type RestoredSession } from "../socketio/types.js";
import { SETTLE_MS_MAX } from "./remote.js";
import type { Scope } from "./scope.js";

/** The part of a namespace's adapter for sockets of returning clients. */
export class Returns {
  private readonly scope: Scope;
  /** Sockets that were restored and are not connected yet. */
  private readonly returning = new Returning();

  constructor(scope: Scope) {
    this.scope = scope;
  }

  persist(session: PersistedSession): void {
    const { adapter, roster, host } = this.scope;
    const conn = roster.attached.get(session.sid);
    const socket = adapter.nsp.sockets.get(session.sid);
    if (conn?.stay?.has(StayBit.handingOver) && socket !== undefined) conn.server.keeper?.tellLast(conn, socket);
    else if (conn !== undefined) host.recovery?.persist(conn, adapter.nsp.name, session);
    else if (roster.direct.has(session.sid)) roster.log?.persist(session);
  }

  /** The kept state for the client whose socket the namespace is about to make. */
  async restore(pid: string, offset: string): Promise<RestoredSession | null> {
    const { adapter, host } = this.scope;
    // Only here: after the first `await` it may belong to another client.
    const conn = connectingConn(adapter.nsp);
    if (host.recovery === undefined || conn === undefined) return null;
    if (!(conn instanceof Conn)) return this.restoreDirect(pid, offset);
    const arriving = ARRIVING.get(conn);
    if (arriving !== undefined) return arriving.restore(adapter.nsp.name, pid);
    return host.recovery.restore(adapter.nsp.name, conn, pid, offset, {
      takeOver: (sid) => this.takeOver(sid, conn),
      onGiven: (back) => this.returning.add(back.sid, back),
      onUnused: (back) => this.returning.release(back.sid, back),
    });
  }

  /** Takes what a socket that is now connected returns with, if it does. */
  take(id: string): Return | DirectReturn | undefined {
    return this.returning.take(id);
  }

  /** Releases a return that does not take place. */
  release(id: string): void {
    this.returning.release(id);
  }

  bringBackDirect(id: string, socket: IoSocket): void {
    const back = this.returning.take(id);
    if (back === undefined || isReturn(back)) return;
    const missed = this.scope.roster.log?.missed(back.pid, back.offset);
    for (const data of missed ?? []) socket.packet({ type: PacketType.EVENT, data });
    // Its place in the log was removed while its middlewares ran.
    if (missed === undefined) (socket.client.conn as { close(): void }).close();
  }

  /** Handles another app server's request for a socket that may live here. */
  handleTakeOver({ uid, data }: ClusterMessage): void {
    const { adapter, host } = this.scope;
    const { requestId, socket } = data;
    void this.giveUp(keyOf(socket) as string, true).then(() =>
      host.cluster.publish(OwnType.done, adapter.nsp.name, { requestId }, [uid]),
    );
  }

  private restoreDirect(pid: string, offset: string): RestoredSession | null {
    const { log } = this.scope.roster;
    const taken = log?.takenBy(pid);
    if (taken !== undefined) void this.giveUp(taken, false);
    const session = log?.restore(pid, offset) ?? null;
    if (session !== null) this.returning.add(session.sid, { pid, offset, release: () => log?.release(pid) });
    return session;
  }

  /** Ends a socket that was restored before, wherever it lives, so that its client's later connection can have it. */
  private async takeOver(sid: string, by: Conn): Promise<void> {
    const { adapter, roster, host } = this.scope;
    // A client that connects twice at once in one session has the socket already, and the other one is new.
    const has = roster.attached.get(sid) ?? this.returning.connOf(sid);
    if (has === by) return;
    const own = this.giveUp(sid, false);
    const missing = host.cluster.peerIds();
    if (missing.length > 0) {
      await new Promise<void>((resolve) => {
        host.cluster.ask(
          OwnType.takeOver,
          adapter.nsp.name,
          { socket: textOf(sid) },
          {
            missing,
            timeoutMs: SETTLE_MS_MAX,
            onAnswer: (_peer, answer) => answer.type === OwnType.done,
            onDone: resolve,
            onTimeout: () => resolve(),
          },
        );
      });
    }
    await own;
  }

  /** Gives up a socket whose client is connected elsewhere: see {@link Returning.giveUp}. */
  private giveUp(sid: string, isElsewhere: boolean): Promise<void> {
    const { adapter, roster } = this.scope;
    return this.returning.giveUp(sid, isElsewhere, adapter.nsp.sockets.get(sid), roster.attached.get(sid));
  }
}
