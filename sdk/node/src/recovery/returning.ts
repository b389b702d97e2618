/**
 * Sockets that were restored and are not connected yet, and how a socket is left to a later connection of its client.
 */
import type { Conn } from "../session/conn.js";
import { PacketType, type IoSocket } from "../socketio/types.js";
import type { Return } from "./recovery.js";
import { CloseReason } from "../trunk/frames.js";

/** A direct client that comes back. */
export interface DirectReturn {
  readonly conn?: undefined;
  readonly pid: string;
  readonly offset: string;
  release(): void;
}

export function isReturn(back: Return | DirectReturn): back is Return {
  return back.conn !== undefined;
}

export class Returning {
  private readonly backs = new Map<string, Return | DirectReturn>();

  add(sid: string, back: Return | DirectReturn): void {
    this.backs.set(sid, back);
  }

  /** The connection behind Trunkline in which the socket is to come back. */
  connOf(sid: string): Conn | undefined {
    return this.backs.get(sid)?.conn;
  }

  /** It is connected now. */
  take(sid: string): Return | DirectReturn | undefined {
    const back = this.backs.get(sid);
    this.backs.delete(sid);
    return back;
  }

  /** It does not come back; with `only`, unless another return has taken the place of this one. */
  release(sid: string, only?: Return): void {
    const back = this.backs.get(sid);
    if (back === undefined || (only !== undefined && back !== only)) return;
    this.backs.delete(sid);
    back.release();
  }

  /**
   * Its client is connected elsewhere: the socket is kept, and its connection ends. Resolves when the node has what is
   * kept.
   * @param isElsewhere the later socket will be another app server's; two of one id in one process would share all that
   * hangs on the id
   * @param conn the socket's session, where the node knows it
   */
  async giveUp(sid: string, isElsewhere: boolean, socket: IoSocket | undefined, conn: Conn | undefined): Promise<void> {
    const back = this.backs.get(sid);
    if (back !== undefined) {
      // Not connected yet: its middlewares still run.
      if (isElsewhere) this.release(sid);
      if (!isReturn(back)) return;
      back.conn.close();
      return back.conn.fence();
    }
    if (socket === undefined) return;
    // A program that lives on both must not come back for it, and take it over again, for ever.
    socket.packet({ type: PacketType.DISCONNECT });
    if (conn !== undefined) {
      conn.end(CloseReason.forcedClose, "transport close");
      return conn.fence();
    }
    socket._onclose("transport close");
    (socket.client.conn as { close(): void }).close();
  }
}
