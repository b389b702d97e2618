/**
 * The adoption of one session: socket.io makes its sockets again, as for a client that returns. Each socket's `CONNECT`
 * is said in the client's name, by the app's own parser. The client must not see the answers: it would take them for a
 * new connection, and send packets again that wait for an acknowledgement.
 */
import createDebug from "debug";
import type { Conn } from "../session/conn.js";
import type { SendOptions } from "../session/parts.js";
import { ARRIVING, type Arriving } from "../session/stay.js";
import type { Arrival } from "../socketio/internals.js";
import {
  PacketType,
  type Decoder,
  type Encoder,
  type Packet,
  type Parser,
  type RestoredSession,
} from "../socketio/types.js";
import { CloseReason } from "../trunk/frames.js";
import type { Guest } from "./snapshot.js";

const debug = createDebug("trunkline:rehome");

/** The parser of the app. */
export interface Codec {
  readonly encoder: Encoder;
  readonly _parser: Parser;
}

/** An adoption that is under way. */
export class Adoption implements Arriving {
  private readonly conn: Conn;
  private readonly codec: Codec;
  /** The sockets that are not made yet, by their private ids. */
  private readonly guests: Map<string, Guest>;
  /** The ids of the sockets that are not connected yet. */
  private readonly missing: Set<string>;
  /** The `auth` that each socket gets. */
  private readonly given = new Map<Guest, Record<string, unknown>>();
  private readonly onEnd: (isAdopted: boolean, since: number) => void;
  /** When the node offered the session. */
  private readonly since = performance.now();
  private decoder: Decoder | undefined;
  /** The parts of a packet that is not complete. */
  private parts: { data: unknown; options: SendOptions }[] = [];
  private packet: Packet | undefined;
  private passes = false;
  private isOver = false;

  /** @param onEnd called once: whether the session is ours */
  constructor(conn: Conn, guests: readonly Guest[], codec: Codec, onEnd: (isAdopted: boolean, since: number) => void) {
    this.conn = conn;
    this.codec = codec;
    this.guests = new Map(guests.map((guest) => [guest.pid, guest]));
    this.missing = new Set(guests.map(({ sid }) => sid));
    this.onEnd = onEnd;
    ARRIVING.set(conn, this);
  }

  /** Connects the sockets: call it when Socket.IO knows the session. */
  begin(): void {
    try {
      for (const { nsp, pid, auth } of this.guests.values()) {
        const data = { ...auth, pid, offset: "" };
        for (const part of this.codec.encoder.encode({ type: PacketType.CONNECT, nsp, data }))
          this.conn.emit("data", part);
      }
    } catch (error) {
      return this.refuse(`its CONNECT cannot be said: ${String(error)}`);
    }
    if (this.missing.size === 0) this.accept();
  }

  /** Ends the adoption: the client comes back by itself, and meets the app's own answer. */
  refuse(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    debug("session %s is not adopted: %s", this.conn.id, why);
    // Not now, because Socket.IO may be connecting a socket.
    process.nextTick(() => {
      this.end(false);
      this.conn.end(CloseReason.forcedClose, "transport close");
    });
  }

  /** Takes a message that is written before all sockets are connected. */
  takes(data: unknown, options: SendOptions): boolean {
    if (this.passes) return false;
    this.parts.push({ data, options });
    try {
      this.decode(data);
    } catch {
      // Not a packet: the app has written to the connection itself.
      this.decoder = undefined;
      this.pass();
      return true;
    }
    const { packet } = this;
    if (packet === undefined) return true;
    this.packet = undefined;
    if (packet.type !== PacketType.CONNECT && packet.type !== PacketType.CONNECT_ERROR) this.pass();
    else {
      this.parts = [];
      this.handleAnswer(packet);
    }
    return true;
  }

  arrivalOf(auth: unknown): Arrival | undefined {
    const { pid } = Object(auth) as { pid?: unknown };
    const guest = this.guests.get(pid as string);
    if (guest === undefined) return undefined;
    let given = this.given.get(guest);
    if (given === undefined) this.given.set(guest, (given = { ...guest.auth, ...idsOf(guest) }));
    return { auth: given, issued: guest.issued };
  }

  restore(nsp: string, pid: string): RestoredSession | null {
    const guest = this.guests.get(pid);
    if (guest === undefined || guest.nsp !== nsp) return null;
    const { auth, sid, rooms, data } = guest;
    // What Socket.IO has read by now was never said by the client.
    const given = this.given.get(guest);
    for (const name of Object.keys(idsOf(guest))) {
      if (given === undefined) break;
      if (Object.hasOwn(auth, name)) given[name] = auth[name];
      else delete given[name];
    }
    return { sid, pid, rooms, data, missedPackets: [] };
  }

  private decode(data: unknown): void {
    if (this.decoder === undefined) {
      this.decoder = new this.codec._parser.Decoder();
      this.decoder.on("decoded", (packet: Packet) => (this.packet = packet));
    }
    this.decoder.add(data);
  }

  /** Writes what was held back for the client: it is no answer to a `CONNECT`. */
  private pass(): void {
    const { parts } = this;
    this.parts = [];
    this.passes = true;
    try {
      for (const { data, options } of parts) this.conn.write(data, options);
    } finally {
      this.passes = false;
    }
  }

  private handleAnswer({ type, nsp, data }: Packet): void {
    if (type === PacketType.CONNECT_ERROR) return this.refuse(`namespace ${nsp} refuses its socket`);
    const { sid } = Object(data) as { sid?: unknown };
    if (!this.missing.delete(sid as string)) return this.refuse(`namespace ${nsp} made another socket`);
    if (this.missing.size === 0) this.accept();
  }

  /** Accepts the session, after the app's `connection` handlers: an app that dies in one gets no such session again. */
  private accept(): void {
    process.nextTick(() => {
      if (this.isOver) return;
      this.isOver = true;
      this.end(this.conn.readyState === "open");
      this.conn.acceptAdopted();
    });
  }

  private end(isAdopted: boolean): void {
    ARRIVING.delete(this.conn);
    this.decoder?.destroy?.();
    this.onEnd(isAdopted, this.since);
  }
}

/** What Socket.IO reads of the `auth` of a client that returns. */
function idsOf({ pid }: Guest): { pid: string; offset: string } {
  return { pid, offset: "" };
}
