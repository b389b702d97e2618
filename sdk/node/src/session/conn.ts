/**
 * One client session with the interface of engine.io's `Socket`, as Socket.IO's `Client` needs it. The node has the
 * transports, heartbeats and buffers; nothing here has a timer.
 */
import { EventEmitter } from "node:events";
import { causeOf, WORDS } from "./close_words.js";
import { emitPlainly, ownTable } from "./emitter.js";
import { TransportFace, transportName, type FaceHost, type TransportName } from "./face.js";
import { Heard, heardBit } from "./heard.js";
import { Line } from "./line.js";
import { endAsked, markAgain, noteAsked, takeAsked } from "./measures.js";
import { packetOf, partOf, type SendOptions } from "./parts.js";
import { Flow, UNMARKED_BYTES_MAX, type Sent } from "./flow.js";
import { noticeListener } from "../socketio/internals.js";
import type { EncodedPart, EngineOptions, IoSocket } from "../socketio/types.js";
import type { ClientStream, HandshakeRequest } from "./request.js";
import { CloseReason, MarkFlag, SendFlag } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";
import type { PartData } from "../trunk/outbound_types.js";
import { listOf } from "./sockets.js";
import { ARRIVING, Stay, StayBit } from "./stay.js";

type SendCallback = (transport: TransportFace) => void;

/** What a session needs of its engine. */
export interface ConnHost extends EventEmitter {
  /** Whether sockets are kept for clients that return: then `Persist` must precede our `Close`. */
  readonly recovers: boolean;
  /** Whether `flush` or `drain` has ever had a listener here. */
  readonly watchesFlush: boolean;
  opts: EngineOptions;
  onUnhonoured(sentence: string): void;
  forget(conn: Conn): void;
  onTooLong(what: string, bytes: number): void;
  /** Undefined where no other app server adopts sessions. */
  readonly keeper: StayKeeper | undefined;
  /** The sessions that go from one node to another. */
  readonly moves: { noteLeft(conn: Conn, hasEnded: boolean): void };
}

/** The keeper of all stays, as sessions and adapters see it. */
export interface StayKeeper {
  /** Notes that the standing of the session may have changed in this turn. */
  noteTurn(conn: Conn, stay: Stay): void;
  /** Notes that the state of a socket may have changed. */
  noteTouched(conn: Conn, stay: Stay): void;
  /** Notes that a socket was attached. */
  noteAttached(conn: Conn, stay: Stay): void;
  /** Handles that the node sends no more messages for a session that asked to leave. */
  handleReleased(conn: Conn): void;
  noteGone(conn: Conn): void;
  noteHandedOver(): void;
  /** Tells the node the last state of a socket that is handed over. */
  tellLast(conn: Conn, socket: IoSocket): void;
}

const { emit } = EventEmitter.prototype;

/** A client session behind Trunkline. */
export class Conn extends Line implements Session, FaceHost {
  readonly id: string;
  readonly server: ConnHost;
  /** The handshake's request: an own property, which an app may delete to save its memory. */
  request: HandshakeRequest;
  readonly protocol: number;
  readonly remoteAddress: string;
  readyState: "open" | "closing" | "closed" = "open";
  upgrading = false;
  upgraded = false;
  /** The session's transport; only its name until more than that is used. */
  private face: TransportFace | TransportName;
  /** The events that have ever had a listener, as bits of {@link Heard}. */
  private heard = 0;
  /** The options of the volatile packet whose parts are being written: the same object for each part. */
  private volatileOptions: object | undefined;
  private reportsFlush = false;
  /** Bytes written since the last mark. */
  private unmarkedBytes = 0;
  /** The back-pressure, while an answer of the node is awaited. */
  private flow: Flow | undefined;

  constructor(
    server: ConnHost,
    machine: Machine,
    number: number,
    id: string,
    request: HandshakeRequest,
    remoteAddress: string,
    protocol: number,
    transport: number,
  ) {
    super();
    ownTable(this);
    this.server = server;
    this.takeLine(machine, number);
    this.id = id;
    this.request = request;
    this.remoteAddress = remoteAddress;
    this.protocol = protocol;
    this.face = transportName(transport);
    (request.socket as unknown as ClientStream).onDestroyed = this;
  }

  /** Begins a session that comes from another app server: the node sends messages only after `acceptAdopted`. */
  beginAdopted(isUpgraded: boolean): void {
    this.stay = new Stay(StayBit.adopting | StayBit.rehomed);
    this.upgraded = isUpgraded;
    this.machine.register(this.number, this);
  }

  /** Tells the node that all sockets of the adopted session are connected. */
  acceptAdopted(): void {
    if (this.stay === undefined || this.readyState !== "open") return;
    this.stay.bits &= ~StayBit.adopting;
    this.machine.acceptAdopted(this.number);
    this.server.keeper?.noteAttached(this, this.stay);
  }

  get transport(): TransportFace {
    if (typeof this.face !== "string") return this.face;
    const face = new TransportFace(this.face, this);
    if (this.readyState === "closed") face.readyState = "closed";
    return (this.face = face);
  }
  set transport(face: TransportFace) {
    this.face = face;
  }

  /** Whether the node may send messages. */
  get accepted(): boolean {
    return this.stay === undefined || !this.stay.has(StayBit.adopting);
  }

  /** Whether the client was connected to another app server before this one. */
  get rehomed(): boolean {
    return this.stay?.has(StayBit.rehomed) === true;
  }

  get _readyState(): string {
    return this.readyState;
  }

  /**
   * Packets that were written and may not have left the node. Only a session that gets much data is asked about, so
   * small amounts are never listed. All packets are in the trunk's batch at once, so that they keep their order among
   * broadcasts.
   */
  get writeBuffer(): object[] {
    return this.flow?.buffer ?? [];
  }

  /** Bytes of messages that were written here and may not have left the node; 0 while they are few. */
  get bufferedBytes(): number {
    return this.flow?.bufferedBytes ?? 0;
  }

  /** Whether written packets have a listener: then the adapter must report broadcasts, which do not pass here. */
  get watchesPackets(): boolean {
    return (this.heard & Heard.packetCreate) !== 0 && this.listenerCount("packetCreate") > 0;
  }

  override on(event: string | symbol, listener: (...args: unknown[]) => void): this {
    super.on(event, listener);
    return this.noticeWatcher(event);
  }

  override addListener(event: string | symbol, listener: (...args: unknown[]) => void): this {
    return this.on(event, listener);
  }

  override prependListener(event: string | symbol, listener: (...args: unknown[]) => void): this {
    super.prependListener(event, listener);
    return this.noticeWatcher(event);
  }

  /** Emits `packetCreate` for a packet that the adapter has sent in a broadcast. */
  reportWritten(encoded: EncodedPart[], options: SendOptions): void {
    if (this.readyState !== "open" || !this.watchesPackets) return;
    options.compress = options.compress !== false;
    for (const part of encoded) this.emit("packetCreate", packetOf(part, options));
  }

  send(data: unknown, options?: SendOptions | SendCallback, callback?: SendCallback): this {
    return this.write(data, options, callback);
  }

  write(data: unknown, options: SendOptions | SendCallback = {}, callback?: SendCallback): this {
    if (typeof options === "function") return this.write(data, {}, options);
    if (this.readyState !== "open") return this;
    options.compress = options.compress !== false;
    if (this.stay?.has(StayBit.adopting) && ARRIVING.get(this)?.takes(data, options)) return this;
    if (this.watchesPackets) this.emit("packetCreate", packetOf(data, options));
    const part = partOf(data);
    const flags = this.flagsOf(part, options);
    if (!this.machine.outbound.send(this.number, flags, part)) {
      this.server.onTooLong(`a message for session ${this.id}`, part.length);
      this.end(CloseReason.transportError, "transport error", new Error("the message is longer than the node takes"));
      return this;
    }
    this.noteSent(data, part, options, typeof callback === "function" ? () => callback(this.transport) : undefined);
    return this;
  }

  /** Counts bytes for this client in the trunk's batch: from `write`, or from a broadcast to its socket's own room. */
  noteSent(data: unknown, part: PartData, options: SendOptions, sent?: Sent): void {
    if (this.readyState !== "open") return;
    if (this.stay !== undefined) this.noteTouched();
    this.unmarkedBytes += part.length;
    if (this.flow !== undefined) return this.flow.add(part.length, () => packetOf(data, options), sent);
    if (this.unmarkedBytes > UNMARKED_BYTES_MAX) this.askWhenLeft([]);
    if (sent !== undefined) this.machine.onFlushed(sent);
    this.reportFlush(data, options);
  }

  /**
   * The bytes that wait for the client in the node's outbox, from any sender; undefined when the node does not support
   * this, or when the session ends.
   */
  measure(): Promise<number | undefined> {
    const { outbound } = this.machine;
    if (this.readyState !== "open" || !this.takesMarks) return Promise.resolve(undefined);
    return new Promise((resolve) => noteAsked(this, outbound.mark(this.number, MarkFlag.now), resolve));
  }

  /** Closes the session. @param _discard as in engine.io; the node closes the stream either way */
  close(_discard?: boolean): void {
    if (this.readyState === "open") this.end(CloseReason.forcedClose, "forced close");
  }

  /** Ends the session from this side. The `Close` is sent after everything that was written. */
  end(reason: number, words: string, description?: unknown): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    if (!this.server.recovers) {
      this.machine.close(this.number, reason);
      this.machine.outbound.flushPromptly();
      return this.finish(words, description);
    }
    this.detachAll();
    try {
      this.finish(words, description);
    } finally {
      this.machine.close(this.number, reason);
      this.machine.outbound.flushPromptly();
    }
  }

  /** Ends the session with a reason of the app: apps call this method of Engine.IO. */
  onClose(reason: string, description?: unknown): void {
    this.end(CloseReason.forcedClose, reason, description);
  }

  /** Ends the session because this app server leaves. */
  endWithServer(): void {
    this.end(CloseReason.serverShuttingDown, "forced close");
  }

  endByTransport(): void {
    this.end(CloseReason.forcedClose, "transport close");
  }

  /** Ends the session if the stream that the app destroyed is still its own: the client has not upgraded. */
  handleStreamDestroyed(): void {
    if (this.upgraded) return;
    const isPolling = this.transport.name === "polling";
    process.nextTick(() => {
      if (isPolling)
        this.end(CloseReason.forcedClose, "transport error", new Error("poll connection closed prematurely"));
      else this.endByTransport();
    });
  }

  /** Ends the session here only. Afterwards the trunk ends, and the node ends the session at its own pace. */
  abandon(words: string): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    if (this.server.recovers) this.detachAll();
    // Nothing is owed any longer. Without sockets it goes to no other app server.
    if (this.stay?.has(StayBit.told)) this.tellStanding(0);
    try {
      this.finish(words, undefined);
    } finally {
      this.machine.abandon(this.number);
    }
  }

  handleMessage(message: string | Buffer): void {
    if (this.readyState !== "open") return;
    const { stay } = this;
    if (stay !== undefined && (stay.bits & USED) !== USED) this.noteUse(stay);
    // engine.io's parser omits the data of an empty message.
    const data = message === "" ? undefined : message;
    // An app that has replaced `emit` must see these events, too.
    const isWatched = this.emit !== emit;
    if (isWatched || ((this.heard & Heard.packet) !== 0 && this.listenerCount("packet") > 0))
      this.emit("packet", { type: "message", data });
    if (isWatched) this.emit("data", data);
    else emitPlainly(this, "data", data);
    if (isWatched || (this.heard & Heard.message) !== 0) this.emit("message", data);
  }

  handleUpgraded(transport: number): void {
    if (this.readyState !== "open") return;
    const next = new TransportFace(transportName(transport), this);
    this.upgrading = true;
    this.emit("upgrading", next);
    this.upgrading = false;
    // A listener of the app may have closed the session.
    if (this.isOver) return next.end();
    if (typeof this.face !== "string") this.face.readyState = "closed";
    this.upgraded = true;
    this.transport = next;
    this.emit("upgrade", next);
  }

  /** Handles the answer to a mark: everything before the mark has left the node, or the answer is for `measure`. */
  handleMarked(mark: number, waitingBytes: number): void {
    const answer = takeAsked(this, mark);
    if (answer !== undefined) return answer(waitingBytes);
    const { flow } = this;
    if (flow === undefined || flow.mark !== mark || this.readyState === "closed") return;
    const packets = flow.isWatched || this.watchesFlush ? flow.buffer : undefined;
    const { bytes, sent } = flow.rest;
    this.flow = undefined;
    this.unmarkedBytes = bytes;
    if (bytes > UNMARKED_BYTES_MAX && this.readyState === "open") this.askWhenLeft(sent, flow.isWatched);
    flow.passed();
    if (this.flow === undefined) for (const each of sent) each();
    if (!flow.isEmpty) this.emitFlush(packets ?? []);
  }

  handleClose(reason: number, description: string): void {
    const words = WORDS[reason] ?? "transport error";
    this.finish(words, words === "transport error" ? new Error(description || words) : causeOf(reason, description));
  }

  handleLeave(): void {
    const { stay } = this;
    if (stay === undefined || this.readyState !== "open") return;
    stay.bits |= StayBit.released;
    try {
      // An app may wait for these before it gives the answers for which the session waits.
      endAsked(this);
      if (this.flow !== undefined) this.handleMarked(this.flow.mark, 0);
    } finally {
      this.server.keeper?.handleReleased(this);
    }
  }

  handleMove(hasEnded: boolean): void {
    if (this.readyState === "open") this.server.moves.noteLeft(this, hasEnded);
  }

  /** Goes on at another node, in one step. */
  moveTo(machine: Machine, number: number): void {
    this.goOnAt(machine, number, this);
  }

  protected askAgain(): void {
    const { outbound } = this.machine;
    const { flow } = this;
    markAgain(this, () => outbound.mark(this.number, MarkFlag.now));
    if (flow !== undefined) flow.mark = outbound.mark(this.number, 0);
  }

  /** Counts an answer that the client waits for, or one that it got. */
  owe(more: 1 | -1): void {
    const { stay } = this;
    if (stay === undefined) return;
    stay.owed = Math.max(0, stay.owed + more);
    if (!stay.has(StayBit.turn)) this.server.keeper?.noteTurn(this, stay);
  }

  /** Ends the sockets here, and lets the node give the session to another app server. */
  handOver(): void {
    const { stay } = this;
    if (stay === undefined || this.readyState !== "open") return;
    stay.bits = (stay.bits | StayBit.handingOver) & ~StayBit.unfit;
    for (const socket of this.attachedSockets) {
      try {
        socket._onclose("server shutting down", REHOMED);
      } catch (error) {
        this.machine.reportThrown(error);
      }
    }
    // A handler of the app may have ended the session.
    if (this.isOver) return;
    this.readyState = "closing";
    try {
      this.finish("forced close", REHOMED);
    } finally {
      if (stay.has(StayBit.unfit)) this.machine.close(this.number, CloseReason.serverShuttingDown);
      else {
        this.machine.handOver(this.number);
        this.server.keeper?.noteHandedOver();
      }
    }
  }

  handleTrunkLost(): void {
    this.finish("transport close", undefined);
  }

  protected noteAttached(): void {
    if (this.stay !== undefined) this.server.keeper?.noteAttached(this, this.stay);
  }

  protected noteTouched(): void {
    if (this.stay !== undefined && !this.stay.has(StayBit.touched)) this.server.keeper?.noteTouched(this, this.stay);
  }

  private noteUse(stay: Stay): void {
    this.server.keeper?.noteTurn(this, stay);
    this.noteTouched();
  }

  private finish(words: string, description: unknown): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.volatileOptions = undefined;
    this.flow = undefined;
    endAsked(this);
    this.server.forget(this);
    if (typeof this.face !== "string") this.face.end();
    this.emit("close", words, description);
  }

  /** Whether the node answers marks: not of a session that it hands over. */
  private get takesMarks(): boolean {
    return this.machine.outbound.takes("Mark") && this.stay?.has(StayBit.released) !== true;
  }

  private get isOver(): boolean {
    return this.readyState !== "open";
  }

  /** Notes that an event has a listener; called by every method that adds one. */
  private noticeWatcher(event: string | symbol): this {
    this.heard |= heardBit(event);
    // From now on the packets themselves are kept.
    if (event === "flush") void this.flow?.buffer;
    if (event === "packetCreate") for (const socket of listOf(this.sockets)) noticeListener(socket);
    return this;
  }

  private flagsOf(part: PartData, options: SendOptions): number {
    let flags = typeof part === "string" ? 0 : SendFlag.binary;
    if (options.compress) flags |= SendFlag.compress;
    if (!options.volatile) this.volatileOptions = undefined;
    else if (this.volatileOptions === options) flags |= SendFlag.attached;
    else {
      flags |= SendFlag.volatile;
      this.volatileOptions = options;
    }
    return flags;
  }

  /** Sends a mark: the node answers when everything written so far has left. */
  private askWhenLeft(sent: Sent[], isWatched = false): void {
    const bytes = this.unmarkedBytes;
    this.unmarkedBytes = 0;
    if (!this.takesMarks) return;
    this.flow = new Flow(this.machine.outbound.mark(this.number, 0), bytes, sent, isWatched || this.watchesFlush);
  }

  private get watchesFlush(): boolean {
    const isHeard = (this.heard & Heard.flush) !== 0 || this.server.watchesFlush;
    return isHeard && (hasFlushListener(this) || hasFlushListener(this.server));
  }

  /** Reports `flush` and `drain`, which cost nothing without listeners. */
  private reportFlush(data: unknown, options: SendOptions): void {
    if (this.reportsFlush || !this.watchesFlush) return;
    this.reportsFlush = true;
    const packets = [packetOf(data, options)];
    this.machine.onFlushed(() => {
      this.reportsFlush = false;
      if (this.readyState !== "closed") this.emitFlush(packets);
    });
  }

  private emitFlush(packets: object[]): void {
    this.emit("flush", packets);
    this.server.emit("flush", this, packets);
    this.emit("drain");
    this.server.emit("drain", this);
  }
}

const USED = StayBit.turn | StayBit.touched;

/** The details of the end of a socket that lives on at another app server. */
const REHOMED = Object.freeze({ rehomed: true });

function hasFlushListener(emitter: EventEmitter): boolean {
  return emitter.listenerCount("drain") > 0 || emitter.listenerCount("flush") > 0;
}
