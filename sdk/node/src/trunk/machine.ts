/**
 * The app server's end of one trunk, from `Hello` to its end, without stream and clock (`spec/trunk.md`, sections 3 to 8).
 *
 * Input: {@link Machine.start} when the stream is open, {@link Machine.handleBatch} for each message, {@link Machine.handleTick} each ping
 * interval, and the verbs. Output: frames gather in one batch; the host is asked once to call {@link Machine.flush} at the end of the turn.
 */
import { closeFrame, decodeBody, encodeFrame, openFrame } from "./codec.js";
import {
  ErrorCode,
  FrameType,
  MessageFlag,
  PartKind,
  type ClientResponse,
  type Frame,
  type FrameBodies,
  type Header,
} from "./frames.js";
import { DecodeError, Reader } from "./reader.js";
import { HeldFrames } from "./held.js";
import { Writer } from "./writer.js";

/** Bytes of messages that the node may send before more credit: two of Socket.IO's largest messages and room to spare. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const QUIET_INTERVALS_MAX = 3;
const BATCH_BYTES_MIN = 1024;
/** Buffers of sent batches that are kept for the next ones. */
const SPARES_MAX = 4;
const SPARE_BYTES_MAX = 256 * 1024;

/** One client session, as the machine sees it. */
export interface Session {
  /** True from `Accept` on: before it the node may not send messages. */
  readonly accepted: boolean;
  /** Its end is no packet among others, but the end of a stream. */
  readonly endsInLaterTurn: boolean;
  handleMessage(data: string | Buffer): void;
  handleUpgraded(transport: number): void;
  /** The node ended the session, and the machine has answered. */
  handleClose(reason: number, description: string): void;
  /** The trunk ended, and the session with it. */
  handleTrunkLost(): void;
}

export interface EndCause {
  readonly code: number;
  readonly message: string;
  readonly by: "us" | "node";
}

export interface MachineHost {
  /** Something waits to be sent: call `flush` when this turn of the event loop is over. */
  schedule(): void;
  /** Sends one batch; the machine does not touch the buffer until it comes back through `recycle`. */
  transmit(batch: Buffer): void;
  onWelcome(welcome: FrameBodies["Welcome"]): void;
  onOpen(open: FrameBodies["Open"]): void;
  onRequest(request: FrameBodies["Request"]): void;
  onDrain(deadlineMs: number): void;
  /** The trunk is over; what was to be sent has been handed to `transmit`. */
  onEnd(cause: EndCause): void;
  /** A handler of the app threw. */
  onThrown(error: unknown): void;
}

export interface Counters {
  messagesSent: number;
  bytesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  broadcasts: number;
}

export type PartData = string | Uint8Array;

export class Machine {
  private readonly host: MachineHost;
  private readonly counters: Counters;
  private readonly sessions = new Map<number, Session>();
  private readonly namespaces = new Map<string, number>();
  private readonly held = new HeldFrames();
  private readonly spares: Buffer[] = [];
  private postponed: (() => void)[] = [];
  private out = new Writer();
  private scheduled = false;
  private state: "opening" | "open" | "ended" = "opening";
  /** What we may still send. */
  private credit = 0;
  /** What the node may still send, and what of it we have processed but not yet given back. */
  private granted = WINDOW_BYTES;
  private processed = 0;
  private batchBytesMax = BATCH_BYTES_MIN;
  private quietIntervals = 0;
  private heard = false;

  constructor(host: MachineHost, counters: Counters) {
    this.host = host;
    this.counters = counters;
  }

  get isOpen(): boolean {
    return this.state === "open";
  }

  /** Bytes of frames that wait for credit. */
  get heldBytes(): number {
    return this.held.bytes;
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  start(server: string, sdk: string, settings: string): void {
    this.frame({ type: "Hello", versionMin: 1, versionMax: 1, credit: WINDOW_BYTES, server, sdk, settings });
    this.flush();
  }

  handleBatch(batch: Buffer): void {
    if (this.state === "ended") return;
    this.heard = true;
    try {
      this.readFrames(new Reader(batch));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.fail(ErrorCode.protocol, error.message);
    }
    if (this.processed >= WINDOW_BYTES / 2) this.giveCreditBack();
  }

  /** Call once per ping interval. The interval is counted and not measured, so an app that blocks its event loop does not look like a dead node. */
  handleTick(): void {
    if (this.state !== "open") return;
    if (this.heard) {
      this.heard = false;
      this.quietIntervals = 0;
      return;
    }
    this.quietIntervals++;
    if (this.quietIntervals >= QUIET_INTERVALS_MAX) {
      this.fail(ErrorCode.silence, `nothing was received for ${QUIET_INTERVALS_MAX} ping intervals`);
    } else {
      this.frame({ type: "Ping", token: Buffer.alloc(0) });
    }
  }

  /** The stream is gone: every session ends. */
  handleLost(): void {
    this.state = "ended";
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of sessions) this.guard(() => session.handleTrunkLost());
  }

  /** Ends the trunk with an `Error` frame. */
  fail(code: number, message: string): void {
    if (this.state === "ended") return;
    this.frame({ type: "Error", code, message });
    this.flush();
    this.state = "ended";
    this.host.onEnd({ code, message, by: "us" });
  }

  /** A handshake that is not answered yet. */
  register(number: number, session: Session): void {
    this.sessions.set(number, session);
  }

  accept(number: number, session: Session, sid: string, headers: Header[], lasting: Header[]): void {
    this.sessions.set(number, session);
    this.frame({ type: "Accept", session: number, sid, headers, lasting });
  }

  /** `Reject` is our last word on the number: the node may use it again. */
  reject(number: number, response: ClientResponse): void {
    this.sessions.delete(number);
    this.frame({ type: "Reject", session: number, response });
  }

  respond(requestId: number, response: ClientResponse): void {
    this.frame({ type: "Response", requestId, response });
  }

  drain(deadlineMs: number): void {
    this.frame({ type: "Drain", deadlineMs });
  }

  /** Returns false when the message is longer than the node takes; then nothing was sent. */
  send(number: number, flags: number, data: PartData): boolean {
    const w = this.ordered(true);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Send, data.length + 4);
    w.varint(number);
    w.u8(flags);
    if (typeof data === "string") w.rawText(data);
    else w.raw(data);
    const bytes = this.finish(w, frameStart, start, true);
    if (bytes < 0) return false;
    this.counters.messagesSent++;
    this.counters.bytesSent += bytes;
    return true;
  }

  /** The app, or we for it, end a session that the node has not ended yet. */
  close(number: number, reason: number, description = ""): void {
    this.sessions.set(number, CLOSING);
    this.writeClose(number, reason, description);
  }

  attach(number: number, nsp: string, socket: string, rooms: string[]): void {
    const w = this.begin(FrameType.Attach, number, nsp);
    w.writer.str(socket);
    w.writer.strs(rooms);
    this.finish(w.writer, w.frameStart, w.start, false);
  }

  detach(number: number, nsp: string): void {
    const w = this.begin(FrameType.Detach, number, nsp);
    this.finish(w.writer, w.frameStart, w.start, false);
  }

  join(number: number, nsp: string, rooms: string[]): void {
    const w = this.begin(FrameType.Join, number, nsp);
    w.writer.strs(rooms);
    this.finish(w.writer, w.frameStart, w.start, false);
  }

  leave(number: number, nsp: string, rooms: string[]): void {
    const w = this.begin(FrameType.Leave, number, nsp);
    w.writer.strs(rooms);
    this.finish(w.writer, w.frameStart, w.start, false);
  }

  /** Returns false when the packet is longer than the node takes; then nothing was sent. */
  broadcast(nsp: string, flags: number, rooms: string[], except: string[], parts: PartData[]): boolean {
    const number = this.namespace(nsp);
    const w = this.ordered(true);
    const frameStart = w.pos;
    let guess = 8;
    for (const part of parts) guess += part.length + 4;
    const start = w.begin(FrameType.Broadcast, guess);
    w.varint(number);
    w.u8(flags);
    w.strs(rooms);
    w.strs(except);
    w.varint(parts.length);
    for (const part of parts) {
      w.u8(typeof part === "string" ? PartKind.text : PartKind.binary);
      if (typeof part === "string") w.str(part);
      else w.bytes(part);
    }
    const bytes = this.finish(w, frameStart, start, true);
    if (bytes < 0) return false;
    this.counters.broadcasts++;
    this.counters.bytesSent += bytes;
    return true;
  }

  /** Sends what has gathered: call it once when the turn is over. */
  flush(): void {
    this.scheduled = false;
    if (this.out.pos === 0) return;
    this.host.transmit(this.out.take(this.spares.pop()));
  }

  /** Gives back the buffer of a batch that has left. */
  recycle(batch: Buffer): void {
    const whole = Buffer.from(batch.buffer);
    if (this.spares.length < SPARES_MAX && whole.length <= SPARE_BYTES_MAX) this.spares.push(whole);
  }

  private readFrames(reader: Reader): void {
    const batchEnd = reader.end;
    while (reader.pos < batchEnd && this.state !== "ended") {
      const type = openFrame(reader);
      if (type === FrameType.Message && this.state === "open") this.readMessage(reader, batchEnd);
      else {
        const frame = decodeBody(type, reader);
        closeFrame(reader, type, batchEnd);
        if (frame !== undefined) this.handleFrame(frame);
      }
    }
  }

  /** `Message` without an object for it: most of what a node sends. */
  private readMessage(reader: Reader, batchEnd: number): void {
    const cost = reader.end - reader.pos;
    const number = reader.varint("session");
    const flags = reader.u8("flags");
    if (flags > MessageFlag.binary) throw new DecodeError("undefined_flag", "a Message's flags have a bit without a meaning");
    const data = flags === MessageFlag.binary ? reader.rest() : reader.restText();
    closeFrame(reader, FrameType.Message, batchEnd);
    if (this.granted <= 0) return this.fail(ErrorCode.credit, "a Message came when the node's credit was used up");
    this.granted -= cost;
    this.processed += cost;
    const session = this.known(number, "Message");
    if (session === undefined || session === CLOSING) return;
    if (!session.accepted) return this.fail(ErrorCode.protocol, `a Message came for session ${number} before its Accept`);
    this.counters.messagesReceived++;
    this.counters.bytesReceived += cost;
    try {
      session.handleMessage(data);
    } catch (error) {
      this.host.onThrown(error);
    }
  }

  private handleFrame(frame: Frame): void {
    if (this.state === "opening" && frame.type !== "Welcome" && frame.type !== "Error") {
      return this.fail(ErrorCode.protocol, `${frame.type} came before Welcome`);
    }
    switch (frame.type) {
      case "Welcome":
        return this.handleWelcome(frame);
      case "Error":
        this.state = "ended";
        return this.host.onEnd({ code: frame.code, message: frame.message, by: "node" });
      case "Ping":
        return this.frame({ type: "Pong", token: frame.token });
      case "Pong":
        return;
      case "Credit":
        return this.handleCredit(frame.bytes);
      case "Drain":
        return this.host.onDrain(frame.deadlineMs);
      case "Open":
        return this.handleOpen(frame);
      case "Close":
        return this.handleClose(frame);
      case "Upgraded":
        return this.handleUpgraded(frame);
      case "Request":
        return this.guard(() => this.host.onRequest(frame));
      default:
        this.fail(ErrorCode.protocol, `${frame.type} is not a node's to send`);
    }
  }

  private handleWelcome(welcome: FrameBodies["Welcome"]): void {
    if (this.state === "open") return this.fail(ErrorCode.protocol, "a second Welcome came");
    if (welcome.version !== 1) return this.fail(ErrorCode.version, `the node chose version ${welcome.version} of 1 to 1`);
    if (welcome.batchBytesMax < BATCH_BYTES_MIN) {
      return this.fail(ErrorCode.protocol, `batch_bytes_max ${welcome.batchBytesMax} is too small for any use`);
    }
    this.state = "open";
    this.credit = welcome.credit;
    this.batchBytesMax = welcome.batchBytesMax;
    this.host.onWelcome(welcome);
  }

  private handleCredit(bytes: number): void {
    this.credit += bytes;
    this.credit -= this.held.release(this.credit, (frame) => {
      this.out.raw(frame);
      this.cut(this.out.pos - frame.length);
    });
    if (this.out.pos > 0) this.schedule();
  }

  private handleOpen(open: FrameBodies["Open"]): void {
    if (this.sessions.has(open.session)) return this.fail(ErrorCode.protocol, `Open came for session ${open.session}, which is in use`);
    // A client that comes back must not be seen before its end is.
    if (this.postponed.length === 0) return this.guard(() => this.host.onOpen(open));
    this.sessions.set(open.session, OPENING);
    this.postpone(() => {
      if (this.sessions.get(open.session) !== OPENING) return;
      this.sessions.delete(open.session);
      this.guard(() => this.host.onOpen(open));
    });
  }

  /** Until this turn is over, with all that the app does in it. */
  private postpone(action: () => void): void {
    if (this.postponed.length === 0) {
      setImmediate(() => {
        const actions = this.postponed;
        this.postponed = [];
        for (const each of actions) each();
      });
    }
    this.postponed.push(action);
  }

  private handleClose(close: FrameBodies["Close"]): void {
    const session = this.sessions.get(close.session);
    // CLOSING: this is the node's answer to ours. Unknown: we have rejected it, and the two crossed.
    if (session === undefined || session === CLOSING) {
      this.sessions.delete(close.session);
      return;
    }
    // Socket.IO hands an event to the app some ticks after its message came, and drops it when the socket has ended by then. The end of a
    // client's stream is seen in a later turn than its last message, so here it waits for the end of this one; a close packet is not.
    if (session.endsInLaterTurn) this.postpone(() => this.finishClose(close, session));
    else this.finishClose(close, session);
  }

  private finishClose(close: FrameBodies["Close"], session: Session): void {
    const now = this.sessions.get(close.session);
    // Unknown: the trunk has ended meanwhile, and the session was told.
    if (now === undefined) return;
    this.sessions.delete(close.session);
    // The app has ended it meanwhile: our `Close` is the answer.
    if (now === CLOSING) return;
    this.writeClose(close.session, close.reason, "");
    this.guard(() => session.handleClose(close.reason, close.description));
  }

  private handleUpgraded(frame: FrameBodies["Upgraded"]): void {
    const session = this.known(frame.session, "Upgraded");
    if (session !== undefined && session !== CLOSING) this.guard(() => session.handleUpgraded(frame.transport));
  }

  private known(number: number, what: string): Session | undefined {
    const session = this.sessions.get(number);
    if (session === undefined) this.fail(ErrorCode.protocol, `${what} came for session ${number}, which is not open`);
    return session;
  }

  /** As in Socket.IO, where each event has a turn of its own: what a handler throws does not take the rest with it. */
  private guard(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.host.onThrown(error);
    }
  }

  private giveCreditBack(): void {
    if (this.state !== "open") return;
    const bytes = this.processed;
    this.processed = 0;
    this.granted += bytes;
    this.frame({ type: "Credit", bytes });
  }

  private namespace(name: string): number {
    const known = this.namespaces.get(name);
    if (known !== undefined) return known;
    const number = this.namespaces.size;
    this.namespaces.set(name, number);
    const w = this.ordered(false);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Namespace);
    w.varint(number);
    w.str(name);
    this.finish(w, frameStart, start, false);
    return number;
  }

  private writeClose(number: number, reason: number, description: string): void {
    const w = this.ordered(false);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Close);
    w.varint(number);
    w.u8(reason);
    w.rawText(description);
    this.finish(w, frameStart, start, false);
  }

  private begin(type: number, number: number, nsp: string): { writer: Writer; frameStart: number; start: number } {
    const namespace = this.namespace(nsp);
    const writer = this.ordered(false);
    const frameStart = writer.pos;
    const start = writer.begin(type);
    writer.varint(number);
    writer.varint(namespace);
    return { writer, frameStart, start };
  }

  /** Where a frame goes that must keep its place among the others: behind those that wait for credit, if there are any. */
  private ordered(isData: boolean): Writer {
    if (this.held.bytes > 0 || (isData && this.credit <= 0)) return this.held.writer;
    return this.out;
  }

  /** Ends an ordered frame. Returns the length of its body, or -1 when it is too long for any batch: then it is taken back. */
  private finish(w: Writer, frameStart: number, start: number, isData: boolean): number {
    const bytes = w.finish(start);
    if (w.pos - frameStart > this.batchBytesMax) {
      w.pos = frameStart;
      return -1;
    }
    if (w === this.out) {
      if (isData) this.credit -= bytes;
      this.cut(frameStart);
      this.schedule();
    }
    return bytes;
  }

  /** A control frame: it costs no credit and waits for nobody. */
  private frame(frame: Frame): void {
    if (this.state === "ended") return;
    const frameStart = this.out.pos;
    encodeFrame(this.out, frame);
    this.cut(frameStart);
    this.schedule();
  }

  /** When the last frame made the batch too long: sends what is before it. */
  private cut(frameStart: number): void {
    if (this.out.pos <= this.batchBytesMax || frameStart === 0 || this.state === "opening") return;
    const full = this.out;
    this.out = new Writer(this.spares.pop());
    this.out.raw(full.buf.subarray(frameStart, full.pos));
    full.pos = frameStart;
    this.host.transmit(full.take());
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.host.schedule();
  }
}

/** In place of a session: we have sent `Close` and wait for the node's. */
const CLOSING: Session = nobody(true);
/** In place of a session: its `Open` waits for the end of this turn. */
const OPENING: Session = nobody(false);

function nobody(accepted: boolean): Session {
  const ignore = (): void => undefined;
  return { accepted, endsInLaterTurn: false, handleMessage: ignore, handleUpgraded: ignore, handleClose: ignore, handleTrunkLost: ignore };
}
