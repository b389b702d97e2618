/**
 * One client session with the interface of engine.io's `Socket`, as Socket.IO's `Client` needs it. The node has the
 * transports, heartbeats and buffers; nothing here has a timer.
 */
import { EventEmitter } from "node:events";
import { causeOf, WORDS } from "./close_words.js";
import { emitPlainly, Emitter, ownTable } from "./emitter.js";
import { TransportFace, transportName, type FaceHost, type TransportName } from "./face.js";
import { Heard, heardBit } from "./heard.js";
import { packetOf, partOf, type SendOptions } from "./parts.js";
import { Flow, UNMARKED_BYTES_MAX, type Sent } from "./flow.js";
import { noticeListener } from "../socketio/internals.js";
import type { EncodedPart, IoSocket } from "../socketio/types.js";
import { textOf } from "../data/keys.js";
import type { EngineOptions } from "../socketio/types.js";
import type { ClientStream, HandshakeRequest } from "./request.js";
import { CloseReason, MarkFlag, PartKind, SendFlag, type Missed, type Position } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";
import type { PartData } from "../trunk/outbound_types.js";
import { countOf, listOf, withoutSocket, withSocket, type Sockets } from "./sockets.js";

/** The data of a socket that returns: the packets that it missed, and what the node gave with it. */
export interface Reattached {
  readonly pid: string;
  readonly missed: Missed[];
  readonly log: string;
  readonly last: string;
  readonly cut: Position[];
}

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
}

type Asked = Map<number, (bytes: number | undefined) => void>;

/** The callers of `measure` by the numbers of their marks. Not a field of each session, because calls are rare. */
const ASKED = new WeakMap<Conn, Asked>();

/** The most sockets of one session, in all namespaces. More are an attack: each costs all others a little. */
const SOCKETS_MAX = 4_096;
const { emit } = EventEmitter.prototype;

/** A client session behind Trunkline. */
export class Conn extends Emitter implements Session, FaceHost {
  readonly id: string;
  readonly server: ConnHost;
  /** The handshake's request: an own property, which an app may delete to save its memory. */
  request: HandshakeRequest;
  readonly protocol: number;
  readonly remoteAddress: string;
  readyState: "open" | "closing" | "closed" = "open";
  upgrading = false;
  upgraded = false;
  /** The end of the session's trunk. It and the number change together, in {@link Conn.takeLine} only. */
  private machine!: Machine;
  private number!: number;
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
  /** The session's sockets that the node knows, usually one for each namespace. */
  private sockets: Sockets = undefined;

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

  /** Puts the session on this trunk, under this number. */
  private takeLine(machine: Machine, number: number): void {
    this.machine = machine;
    this.number = number;
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

  get accepted(): boolean {
    return true;
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
    if (this.readyState !== "open" || !outbound.takes("Mark")) return Promise.resolve(undefined);
    const asked: Asked = ASKED.get(this) ?? new Map();
    ASKED.set(this, asked);
    return new Promise((resolve) => asked.set(outbound.mark(this.number, MarkFlag.now), resolve));
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
    try {
      this.finish(words, undefined);
    } finally {
      this.machine.abandon(this.number);
    }
  }

  /** Detaches all sockets, so that broadcasts from the app's handlers no longer reach this client. */
  private detachAll(): void {
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
      this.sockets = withSocket(this.sockets, socket);
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
      this.sockets = withSocket(this.sockets, socket);
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
    if (this.readyState === "open") {
      this.choose(id, nsp);
      this.machine.outbound.detach(this.number, nsp);
    }
    this.sockets = rest;
    this.machine.outbound.forget(nsp);
  }

  join(id: string, nsp: string, rooms: string[]): void {
    this.choose(id, nsp);
    this.machine.outbound.join(this.number, nsp, rooms);
  }

  leave(id: string, nsp: string, rooms: string[]): void {
    this.choose(id, nsp);
    this.machine.outbound.leave(this.number, nsp, rooms);
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
    this.machine.prove(this.number, cut, done);
  }

  /** Resolves when the node has processed everything sent for this session. */
  fence(): Promise<void> {
    return new Promise((resolve) => this.machine.fence(resolve));
  }

  handleMessage(message: string | Buffer): void {
    if (this.readyState !== "open") return;
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
    const asked = ASKED.get(this);
    const answer = asked?.get(mark);
    if (answer !== undefined) {
      asked?.delete(mark);
      return answer(waitingBytes);
    }
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

  handleTrunkLost(): void {
    this.finish("transport close", undefined);
  }

  private finish(words: string, description: unknown): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.volatileOptions = undefined;
    this.flow = undefined;
    for (const answer of ASKED.get(this)?.values() ?? []) answer(undefined);
    ASKED.delete(this);
    this.server.forget(this);
    if (typeof this.face !== "string") this.face.end();
    this.emit("close", words, description);
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
    const { outbound } = this.machine;
    const bytes = this.unmarkedBytes;
    this.unmarkedBytes = 0;
    if (!outbound.takes("Mark")) return;
    this.flow = new Flow(outbound.mark(this.number, 0), bytes, sent, isWatched || this.watchesFlush);
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

function hasFlushListener(emitter: EventEmitter): boolean {
  return emitter.listenerCount("drain") > 0 || emitter.listenerCount("flush") > 0;
}
