/**
 * A session's line to its node: the trunk's end, the session's number there, and the sockets that the node knows. The
 * base class of `Conn`, which is what apps see.
 */
import { textOf } from "../data/keys.js";
import type { IoSocket } from "../socketio/types.js";
import { CloseReason, PartKind, StandingFlag, type Missed, type Position } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";
import { Emitter } from "./emitter.js";
import { countOf, firstOf, listOf, withoutSocket, withSocket, type Sockets } from "./sockets.js";
import { StayBit, type Stay } from "./stay.js";

/** The data of a socket that returns: the packets that it missed, and what the node gave with it. */
export interface Reattached {
  readonly pid: string;
  readonly missed: Missed[];
  readonly log: string;
  readonly last: string;
  readonly cut: Position[];
}

/** The most sockets of one session, in all namespaces. More are an attack: each costs all others a little. */
const SOCKETS_MAX = 4_096;

/** A session as its node knows it. */
export abstract class Line extends Emitter {
  /** The end of the session's trunk. It and the number change together, in {@link Line.takeLine} only. */
  protected machine!: Machine;
  protected number!: number;
  /** The session's sockets that the node knows, usually one for each namespace. */
  protected sockets: Sockets = undefined;
  /** Undefined where the session ends with this process. */
  stay: Stay | undefined = undefined;

  abstract readyState: "open" | "closing" | "closed";
  abstract write(data: unknown): unknown;
  abstract end(reason: number, words: string, description?: unknown): void;

  /** Puts the session on this trunk, under this number. */
  protected takeLine(machine: Machine, number: number): void {
    this.machine = machine;
    this.number = number;
  }

  /** The trunk's machine, and the session's number there. */
  get line(): { readonly machine: Machine; readonly number: number } {
    return { machine: this.machine, number: this.number };
  }

  /** Whether the session is on this trunk. */
  isOn(machine: Machine): boolean {
    return this.machine === machine;
  }

  /**
   * Goes on at another node, in one step: the last word on the former trunk, and everything from now on on this one. The
   * node has the sockets, their rooms and states from the former one.
   */
  protected goOnAt(machine: Machine, number: number, session: Session): void {
    const { machine: former, number: formerNumber } = this;
    former.close(formerNumber, CloseReason.moved);
    this.takeLine(machine, number);
    machine.acceptMoved(number, session);
    let isWhole = true;
    for (const { nsp } of listOf(this.sockets)) {
      former.outbound.forget(nsp.name);
      const namespace = machine.outbound.namespace(nsp.name);
      if (namespace === undefined) isWhole = false;
      else namespace.sockets++;
    }
    this.askAgain();
    // The node asks for it anew.
    const { stay } = this;
    if (stay?.has(StandingFlag.leaves)) this.tellStanding(stay.bits & StayBit.told);
    if (!isWhole) this.end(CloseReason.forcedClose, "forced close", new Error("the node takes no more namespaces"));
  }

  /** Asks on the present trunk what was asked on the former. */
  protected abstract askAgain(): void;

  /** Detaches all sockets, so that broadcasts from the app's handlers no longer reach this client. */
  protected detachAll(): void {
    for (const { id, nsp } of listOf(this.sockets)) {
      this.choose(id, nsp.name);
      this.machine.outbound.detach(this.number, nsp.name);
    }
  }

  /** Attaches a socket that returns; the packets that it missed are sent first. */
  reattach(socket: IoSocket, rooms: string[], { pid, missed, log, last, cut }: Reattached): void {
    const { outbound } = this.machine;
    for (const { parts } of missed) {
      for (const { kind, data } of parts) this.write(kind === PartKind.text ? data.toString() : data);
    }
    if (this.readyState !== "open") return;
    const { name } = socket.nsp;
    // The socket would replace another one: the client has connected twice in between.
    const isBeside = listOf(this.sockets).some(({ nsp }) => nsp.name === name);
    if (
      !isBeside &&
      countOf(this.sockets) < SOCKETS_MAX &&
      outbound.reattach(this.number, name, { socket: textOf(socket.id), rooms, pid, log, last, cut })
    ) {
      this.addSocket(socket);
      return;
    }
    process.nextTick(() =>
      this.end(
        CloseReason.forcedClose,
        "forced close",
        new Error("there is no place for this socket in its session any more"),
      ),
    );
  }

  attach(socket: IoSocket, rooms: string[]): void {
    const { name } = socket.nsp;
    // A client that connects to a namespace twice at once has two sockets there. Socket.IO serves both until they end.
    const isBeside = listOf(this.sockets).some(({ nsp }) => nsp.name === name);
    const { outbound } = this.machine;
    if (countOf(this.sockets) < SOCKETS_MAX && outbound.attach(this.number, name, textOf(socket.id), rooms, isBeside)) {
      this.addSocket(socket);
      return;
    }
    // Not now, because Socket.IO is still connecting the socket.
    process.nextTick(() =>
      this.end(
        CloseReason.forcedClose,
        "forced close",
        new Error("the node takes no more sockets of this client, or no more namespaces"),
      ),
    );
  }

  detach(id: string, nsp: string): void {
    const rest = withoutSocket(this.sockets, id, nsp);
    if (rest === this.sockets) return;
    // A socket that is handed over lives on: the node keeps it for the next app server.
    if (this.readyState === "open" && !this.stay?.has(StayBit.handingOver)) {
      this.choose(id, nsp);
      this.machine.outbound.detach(this.number, nsp);
    }
    this.sockets = rest;
    this.machine.outbound.forget(nsp);
  }

  join(id: string, nsp: string, rooms: string[]): void {
    this.noteTouched();
    this.choose(id, nsp);
    this.machine.outbound.join(this.number, nsp, rooms);
  }

  leave(id: string, nsp: string, rooms: string[]): void {
    this.noteTouched();
    this.choose(id, nsp);
    this.machine.outbound.leave(this.number, nsp, rooms);
  }

  /** The sockets that the node knows. */
  get attachedSockets(): readonly IoSocket[] {
    return listOf(this.sockets);
  }

  /** Whether the client has sent a part of a packet, and not all of it. */
  get isInsidePacket(): boolean {
    return Boolean(firstOf(this.sockets)?.client.decoder?.reconstructor);
  }

  /** Tells the node the state of a socket. Returns false when nothing was sent. */
  tellState(nsp: string, socket: string, pid: string, state: Uint8Array): boolean {
    return this.machine.outbound.state(this.number, nsp, socket, pid, state);
  }

  /** Tells the node what the session would lose if this process ended now. */
  tellStanding(flags: number): void {
    this.machine.standing(this.number, flags);
  }

  protected abstract noteAttached(): void;
  protected abstract noteTouched(): void;

  private addSocket(socket: IoSocket): void {
    this.sockets = withSocket(this.sockets, socket);
    this.noteAttached();
  }

  /** Chooses the socket that the next frame concerns; needed only if there are several. */
  private choose(id: string, nsp: string): void {
    if (countOf(this.sockets) < 2) return;
    let count = 0;
    for (const socket of listOf(this.sockets)) if (socket.nsp.name === nsp) count++;
    if (count > 1) this.machine.outbound.choose(this.number, nsp, textOf(id));
  }

  /**
   * Gives a socket of this session to the node, for its client, which may return. Returns false when the state is
   * longer than the node accepts.
   */
  persist(nsp: string, pid: string, socket: string, rooms: string[], state: Uint8Array): boolean {
    return this.machine.outbound.persist(this.number, nsp, pid, socket, rooms, state);
  }

  /** Asks the node whether a socket with these positions could return in this session. Calls back once. */
  prove(cut: Position[], done: (holds: boolean) => void): void {
    const { machine } = this;
    machine.prove(this.number, cut, (holds) => {
      // Another node has the session by now.
      if (holds && this.machine !== machine) this.prove(cut, done);
      else done(holds);
    });
  }

  /** Resolves when the node has processed everything sent for this session. */
  fence(): Promise<void> {
    return new Promise((resolve) => this.machine.fence(resolve));
  }
}
