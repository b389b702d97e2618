/**
 * The app server's end of one trunk, from `Welcome` to its end, without stream and clock (`spec/trunk.md`, sections 3 to
 * 10).
 *
 * Input: {@link Machine.start} with the node's `Welcome`, {@link Machine.handleBatch} for each message, {@link
 * Machine.handleTick} at each ping interval, and the methods that send. Output: frames gather in {@link
 * Machine.outbound}; the host is asked once per turn to flush it at the end of the turn.
 */
import { Answers } from "./answers.js";
import { Asked, type Called } from "./asked.js";
import { Endings } from "./endings.js";
import { closeFrame, decodeBody, decodeOpen, openFrame } from "./decode.js";
import {
  CloseReason,
  ErrorCode,
  Found,
  FrameType,
  MessageFlag,
  type ClientResponse,
  type Frame,
  type FrameBodies,
  type Header,
  type Position,
} from "./frames.js";
import type { WelcomeInfo } from "./info.js";
import type { Content } from "./intake.js";
import { Outbound } from "./outbound.js";
import type { MachineHost } from "./machine_types.js";
import type { Counters } from "./outbound_types.js";
import { Pulse } from "./pulse.js";
import { DecodeError, Reader } from "./reader.js";
import { Receipts } from "./receipts.js";
import { CLOSING, OPENING, Sessions, type Session } from "./sessions.js";
import { Turn } from "./turn.js";

/**
 * Bytes of messages that the node may send before it gets more credit: two of Socket.IO's largest messages and some
 * room.
 */
export const WINDOW_BYTES = 8 * 1024 * 1024;

/** The app server's end of one trunk. */
export class Machine {
  readonly outbound: Outbound;
  readonly receipts: Receipts;
  /** The id of the node. */
  node = "";
  /** Whether the node asks about each request of a session, because the app wants it and the node supports it. */
  asksEachRequest = false;
  private readonly host: MachineHost;
  private readonly counters: Counters;
  private readonly sessions = new Sessions();
  private readonly endings: Endings;
  private readonly answers: Answers;
  private readonly asked: Asked;
  private readonly turn = new Turn();
  private readonly pulse = new Pulse();
  private state: "opening" | "open" | "ended" = "opening";
  /** Bytes that the node may still send, and those that were processed but not yet returned as credit. */
  private granted = WINDOW_BYTES;
  private processed = 0;

  constructor(host: MachineHost, counters: Counters) {
    this.host = host;
    this.counters = counters;
    this.outbound = new Outbound(host, counters);
    this.answers = new Answers(this.outbound, host);
    this.asked = new Asked(this.outbound);
    this.receipts = new Receipts(this.outbound);
    this.endings = new Endings(this.sessions, this.outbound, this.turn, {
      guard: (handler) => this.guard(handler),
      fail: (code, message) => this.fail(code, message),
    });
  }

  get isOpen(): boolean {
    return this.state === "open";
  }

  /** The batches received from the node. */
  get received(): number {
    return this.receipts.received;
  }

  /**
   * Starts with what the node allows. @param rehomes whether the node must know what the app has handled, to give the
   * rest to another app server when this one dies
   */
  start(welcome: FrameBodies["Welcome"], info: WelcomeInfo, rehomes = false): void {
    this.state = "open";
    this.node = info.node;
    if (rehomes && info.frames.has("Handled")) this.receipts.start("handled", info.handledAhead);
    else if (info.resume !== undefined && info.frames.has("Got")) this.receipts.start("got");
    this.outbound.open(welcome.credit, welcome.batchBytesMax, info);
  }

  /** Whether the node must know which batches are begun. */
  get tellsBegun(): boolean {
    return this.receipts.tellsBegun;
  }

  handleBatch(batch: Buffer): void {
    this.countBatch(batch, "nothing");
    this.handleCounted(batch);
  }

  countBatch(batch: Buffer, content: Content): void {
    this.pulse.note();
    this.receipts.count(batch.length);
    if (content !== "nothing" && this.state !== "ended") this.receipts.begin(content === "adoptions");
  }

  /** Handles a batch that was counted. */
  handleCounted(batch: Buffer): void {
    if (this.state === "ended") return;
    this.handleFrames(batch);
    if (this.receipts.isDue) this.outbound.schedule();
  }

  /** Handles frames that do not count as a batch: those that came with `Welcome`. */
  handleFrames(batch: Buffer): void {
    this.pulse.note();
    try {
      this.readFrames(new Reader(batch));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.fail(ErrorCode.protocol, error.message);
    }
    if (this.processed >= WINDOW_BYTES / 2) this.giveCreditBack();
  }

  /** Ends the turn, and sends what it has gathered. @param hasNext whether the next batch is here already */
  flush(hasNext = false): void {
    this.receipts.endTurn(hasNext);
    this.outbound.flush();
  }

  /** Handles that the stream broke; another one may continue the trunk. */
  handleBreak(): void {
    this.outbound.pause();
  }

  /** Handles that another stream continues the trunk, which is a sign of life. */
  handleResumed(): void {
    this.pulse.note();
    this.outbound.resume();
  }

  /** Counts one ping interval; call it once per interval. */
  handleTick(): void {
    if (this.state !== "open") return;
    const sign = this.pulse.tick();
    if (sign === "dead") this.fail(ErrorCode.silence, this.pulse.cause);
    else if (sign === "ask") this.frame({ type: "Ping", token: Buffer.alloc(0) });
  }

  /** Ends every session, because the stream is gone. */
  handleLost(): void {
    this.end();
    for (const session of this.sessions.takeAll()) this.guard(() => session.handleTrunkLost());
    this.endings.end();
    this.asked.endAll();
  }

  /** Ends the trunk with an `Error` frame. */
  fail(code: number, message: string): void {
    if (this.state === "ended") return;
    this.frame({ type: "Error", code, message });
    this.outbound.flush();
    this.end();
    this.host.onEnd({ code, message, by: "us" });
  }

  /** Registers a handshake that is not answered yet. */
  register(number: number, session: Session): void {
    this.sessions.set(number, session);
  }

  accept(number: number, session: Session, sid: string, headers: Header[], lasting: Header[]): void {
    this.sessions.set(number, session);
    if (this.state !== "ended") this.answers.accept(number, sid, headers, lasting);
  }

  /** Accepts an adopted session: in order, because the node ends its sockets that were not attached before. */
  acceptAdopted(number: number): void {
    this.outbound.orderedFrame({ type: "Accept", session: number, sid: "", headers: [], lasting: [] });
  }

  /** Accepts a session that another node has had: after the broadcasts that it has had there. */
  acceptMoved(number: number, session: Session): void {
    this.sessions.set(number, session);
    this.acceptAdopted(number);
  }

  /** Rejects a handshake. The node may use the number again afterwards. */
  reject(number: number, response: ClientResponse): void {
    this.sessions.delete(number);
    if (this.state !== "ended") this.answers.reject(number, response);
  }

  respond(requestId: number, response: ClientResponse): void {
    if (this.state !== "ended") this.answers.respond(requestId, response);
  }

  /** Sends changed options. */
  changeSettings(settings: string): void {
    this.frame({ type: "Settings", settings });
  }

  /** Asks the node to do something; `done` gets undefined when the trunk ends before the answer. */
  call(name: string, args: string, done: (called: Called) => void): void {
    if (this.state === "open") this.asked.call(name, args, done);
    else done(undefined);
  }

  drain(deadlineMs: number): void {
    this.frame({ type: "Drain", deadlineMs });
  }

  /** Closes a session that the node has not closed yet, or that leaves this trunk. */
  close(number: number, reason: number, description = ""): void {
    this.endings.close(number, reason, description);
  }

  /**
   * Tells what a session would lose if this app server went now (`StandingFlag`); replaces the former. Does nothing
   * with a node that does not know this.
   */
  standing(number: number, flags: number): void {
    if (this.outbound.takes("Standing")) this.outbound.orderedFrame({ type: "Standing", session: number, flags });
  }

  /**
   * Hands a session over, after {@link Session.handleLeave}: everything sent for it so far is delivered first, and
   * another app server adopts it.
   */
  handOver(number: number): void {
    this.close(number, CloseReason.handedOver);
  }

  /**
   * Abandons a session because the app server leaves: later frames for it are ignored, and the end of the trunk ends it
   * at the node.
   */
  abandon(number: number): void {
    this.sessions.set(number, CLOSING);
  }

  /**
   * Asks the node for the socket that was persisted under a private id. Calls back once: with undefined when the trunk
   * has ended.
   */
  restore(
    nsp: string,
    pid: string,
    offset: string,
    done: (restored: FrameBodies["RestoredAt"] | undefined) => void,
  ): void {
    this.asked.restore(nsp, pid, offset, done);
  }

  /** Returns a restored socket that is not used. */
  giveBack(nsp: string, pid: string): void {
    const namespace = this.outbound.namespace(nsp);
    if (namespace !== undefined) this.outbound.orderedFrame({ type: "GiveBack", nsp: namespace.number, pid });
  }

  /** Asks whether a socket with these positions could return in this session. Calls back once. */
  prove(session: number, cut: Position[], done: (holds: boolean) => void): void {
    const live = this.sessions.get(session);
    if (this.state !== "open" || live === undefined || live === CLOSING) return done(false);
    this.asked.prove(session, cut, done);
  }

  /** Calls back when the node has processed everything sent so far, or when it never will. */
  fence(done: () => void): void {
    if (this.state !== "open") return done();
    this.asked.fence(done);
  }

  /** Calls back when everything written so far has been passed to the stream. */
  onFlushed(callback: () => void): void {
    this.host.onFlushed(callback);
  }

  /** Reports that a handler of the app threw an error. */
  reportThrown(error: unknown): void {
    this.host.onThrown(error);
  }

  private readFrames(reader: Reader): void {
    const batchEnd = reader.end;
    while (reader.pos < batchEnd && this.state !== "ended") {
      const type = openFrame(reader);
      if (type === FrameType.Message && this.state === "open") this.readMessage(reader, batchEnd);
      else {
        const frame = type === FrameType.Open ? decodeOpen(reader) : decodeBody(type, reader);
        closeFrame(reader, type, batchEnd);
        if (frame !== undefined) this.handleFrame(frame);
      }
    }
  }

  /** Reads a `Message` without creating an object for it: most frames of a node are messages. */
  private readMessage(reader: Reader, batchEnd: number): void {
    const cost = reader.end - reader.pos;
    const number = reader.varint("session");
    const flags = reader.u8("flags");
    if (flags > MessageFlag.binary)
      throw new DecodeError("undefined_flag", "a Message's flags have a bit without a meaning");
    const data = flags === MessageFlag.binary ? reader.rest() : reader.restText();
    closeFrame(reader, FrameType.Message, batchEnd);
    if (this.granted <= 0) return this.fail(ErrorCode.credit, "a Message came when the node's credit was used up");
    this.granted -= cost;
    this.processed += cost;
    const session = this.known(number, "Message");
    if (session === undefined || session === CLOSING) return;
    if (!session.accepted)
      return this.fail(ErrorCode.protocol, `a Message came for session ${number} before its Accept`);
    if (this.receipts.mustBegin) this.receipts.begin(false);
    this.counters.messagesReceived++;
    this.counters.bytesReceived += cost;
    try {
      session.handleMessage(data);
    } catch (error) {
      this.host.onThrown(error);
    }
  }

  private handleFrame(frame: Frame): void {
    switch (frame.type) {
      case "Welcome":
        return this.fail(ErrorCode.protocol, "a second Welcome came");
      case "Error":
        this.end();
        return this.host.onEnd({ code: frame.code, message: frame.message, by: "node" });
      case "Ping":
        return void this.frame({ type: "Pong", token: frame.token });
      case "Pong":
        return this.handlePong(frame.token);
      case "Credit":
        return this.outbound.addCredit(frame.bytes);
      case "Peers":
        return this.guard(() => this.host.onPeers(frame.servers));
      case "Relayed":
        return this.guard(() => this.host.onRelayed(frame.from, frame.payload));
      case "Restored":
        return this.handleRestored({ ...frame, found: Found.no, log: "", last: "", cut: [] });
      case "RestoredAt":
        return this.handleRestored(frame);
      case "Proved":
        return this.handleProved(frame);
      case "Called":
        return this.handleCalled(frame);
      case "Got":
        if (!this.host.onGot(frame.batches)) this.fail(ErrorCode.protocol, "Got came for more batches than were sent");
        return;
      case "Drain":
        return this.host.onDrain(frame.deadlineMs);
      case "Operate":
      case "Unhomed":
        return this.guard(() => this.host.onUnhomed(frame));
      case "Nodes":
        return this.guard(() => this.host.onNodes(frame.nodes));
      case "Open":
        return this.handleOpen(frame, () => this.host.onOpen(frame));
      case "Adopt":
        // As before a message: the node must know of a session that ends this process, so that it is not given on.
        if (this.receipts.tellsBegun) this.receipts.begin(true);
        return this.handleOpen(frame, () => this.host.onAdopt(frame));
      case "Close":
        return this.endings.handleClose(frame);
      case "Upgraded":
        return this.handleUpgraded(frame);
      case "Marked":
        return this.handleMarked(frame);
      case "Request":
        return this.guard(() => this.host.onRequest(frame));
      default:
        this.fail(ErrorCode.protocol, `${frame.type} is not a node's to send`);
    }
  }

  private handleOpen({ type, session }: Frame & { type: "Open" | "Adopt" }, open: () => void): void {
    if (this.sessions.get(session) !== undefined)
      return this.fail(ErrorCode.protocol, `${type} came for session ${session}, which is in use`);
    // A client that returns must not be seen before its previous session has ended.
    if (!this.turn.hasPostponed) return this.guard(open);
    this.sessions.set(session, OPENING);
    this.turn.postpone(() => {
      if (this.sessions.get(session) !== OPENING) return;
      this.sessions.delete(session);
      this.guard(open);
    });
  }

  private handlePong(token: Buffer): void {
    const done = this.asked.takeFence(token);
    if (done !== undefined) this.guard(done);
  }

  private handleProved({ requestId, holds }: FrameBodies["Proved"]): void {
    const done = this.asked.takeProve(requestId);
    if (done === undefined)
      return this.fail(ErrorCode.protocol, `Proved came for request ${requestId}, which was never made`);
    this.guard(() => done(holds === 1));
  }

  private handleCalled(called: FrameBodies["Called"]): void {
    const done = this.asked.takeCall(called.requestId);
    if (done === undefined)
      return this.fail(ErrorCode.protocol, `Called came for request ${called.requestId}, which was never made`);
    this.guard(() => done(called));
  }

  private handleRestored(restored: FrameBodies["RestoredAt"]): void {
    const done = this.asked.takeRestore(restored.requestId);
    if (done === undefined)
      return this.fail(ErrorCode.protocol, `Restored came for request ${restored.requestId}, which was never made`);
    this.guard(() => done(restored));
  }

  private handleUpgraded(frame: FrameBodies["Upgraded"]): void {
    const session = this.known(frame.session, "Upgraded");
    if (session === undefined || session === CLOSING) return;
    // Socket.IO handles a packet one tick after its message arrived. With this delay, packets from before the upgrade
    // are handled before it, and packets from after it are handled after it.
    process.nextTick(() => this.guard(() => session.handleUpgraded(frame.transport)));
  }

  private handleMarked(frame: FrameBodies["Marked"]): void {
    const session = this.known(frame.session, "Marked");
    if (session !== undefined) this.guard(() => session.handleMarked(frame.mark, frame.waitingBytes));
  }

  private known(number: number, what: string): Session | undefined {
    const session = this.sessions.get(number);
    if (session === undefined) this.fail(ErrorCode.protocol, `${what} came for session ${number}, which is not open`);
    return session;
  }

  /**
   * Runs a handler so that an error does not affect the others. In Socket.IO, too, each event has a turn of its own.
   */
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

  /** Sends a frame. Returns false when it is longer than the node accepts. */
  private frame(frame: Frame): boolean {
    return this.state === "ended" || this.outbound.frame(frame);
  }

  private end(): void {
    this.state = "ended";
    this.outbound.end();
  }
}
