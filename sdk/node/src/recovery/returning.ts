/** Sockets that are restored and not connected yet, and how a socket is left to a later connection of its client. */
import type { Conn } from "../session/conn.js";
import { PacketType, type IoSocket } from "../socketio/types.js";
import type { Return } from "./recovery.js";
import { CloseReason } from "../trunk/frames.js";

/** A returning direct client. */
export interface DirectReturn {
  readonly conn?: undefined;
  readonly pid: string;
  readonly offset: string;
  release(): void;
}

/** Whether a return is of a client behind Trunkline. */
export function isReturn(back: Return | DirectReturn): back is Return {
  return back.conn !== undefined;
}

/** The sockets of one namespace that are being restored. */
export class Returning {
  private readonly backs = new Map<string, Return | DirectReturn>();

  add(sid: string, back: Return | DirectReturn): void {
    this.backs.set(sid, back);
  }

  /** The connection behind Trunkline in which the socket will return. */
  connOf(sid: string): Conn | undefined {
    return this.backs.get(sid)?.conn;
  }

  /** Takes the return of a socket that is now connected. */
  take(sid: string): Return | DirectReturn | undefined {
    const back = this.backs.get(sid);
    this.backs.delete(sid);
    return back;
  }

  /** Releases a return that does not take place; with `only`, unless another return has replaced it. */
  release(sid: string, only?: Return): void {
    const back = this.backs.get(sid);
    if (back === undefined || (only !== undefined && back !== only)) return;
    this.backs.delete(sid);
    back.release();
  }

  /**
   * Gives up a socket whose client is connected elsewhere: the socket is kept, and its connection ends. Resolves when
   * the node has the kept state.
   * @param isElsewhere whether the later socket belongs to another app server; two sockets with one id in one process
   *   would share everything that is stored under the id
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
    // Otherwise a program that holds both connections would reconnect and take the socket over again, endlessly.
    socket.packet({ type: PacketType.DISCONNECT });
    if (conn !== undefined) {
      conn.end(CloseReason.forcedClose, "transport close");
      return conn.fence();
    }
    socket._onclose("transport close");
    (socket.client.conn as { close(): void }).close();
  }
}
