/**
 * The output of a trunk: frames gather in one batch, and those that cost credit wait for it (`spec/trunk.md`, sections
 * 2 and 5). The methods here write their frame directly into the batch, without an object for it.
 */
import { textOf } from "../data/keys.js";
import { Batch } from "./batch.js";
import { encodeFrame } from "./encode.js";
import { FrameType, PartKind, type Frame, type FrameName, type FrameBodies } from "./frames.js";
import { HangWatch } from "./hang.js";
import { HeldFrames } from "./held.js";
import { NO_LIMITS, type NodeLimits } from "./info.js";
import type { Broadcast, Counters, OutboundHost, PartData } from "./outbound_types.js";
import { Namespaces, type Numbered } from "./namespaces.js";
import { Prompt, PROMPT_MAX } from "./prompt.js";
import type { Writer } from "./writer.js";

/** Every node accepts a batch of at least this many bytes. */
export const BATCH_BYTES_MIN = 1024;
/** The parts of an `Accept` after the number: the app's id, headers, lasting headers. */
const ACCEPT_PARTS = 3;
const SILENT: OutboundHost = {
  schedule: () => undefined,
  transmit: () => undefined,
  onHang: () => undefined,
  onUnsent: () => undefined,
};

interface Place {
  readonly writer: Writer;
  readonly frameStart: number;
  readonly start: number;
}

/** The output of one trunk. */
export class Outbound {
  private host: OutboundHost;
  private readonly counters: Counters;
  private readonly namespaces = new Namespaces();
  private limits = NO_LIMITS;
  private readonly held = new HeldFrames();
  private readonly batch = new Batch((batch) => this.host.transmit(batch));
  private readonly prompt = new Prompt(
    () => this.schedule(),
    () => this.batch.transmit(),
  );
  private readonly hang = new HangWatch((heldBytes, forMs) => this.host.onHang(heldBytes, forMs));
  private scheduled = false;
  private credit = 0;
  /** The number that the node expects for the next broadcast; undefined when it takes no numbers. */
  private nextNumber: number | undefined;
  private lastMark = 0;

  constructor(host: OutboundHost, counters: Counters) {
    this.host = host;
    this.counters = counters;
  }

  /** Bytes of frames that wait for credit. */
  get heldBytes(): number {
    return this.held.bytes;
  }

  /** The longest payload of a `Relay`, with room for its other fields. */
  get relayBytesMax(): number {
    return (this.batch.bytesMax ?? BATCH_BYTES_MIN) >> 1;
  }

  /** Sets the limits that `Welcome` allows. */
  open(credit: number, batchBytesMax: number, limits: NodeLimits = NO_LIMITS): void {
    this.credit = credit;
    this.batch.bytesMax = batchBytesMax;
    this.limits = limits;
  }

  /** Whether the node accepts a frame that the first nodes did not know. */
  takes(frame: FrameName): boolean {
    return this.limits.frames.has(frame);
  }

  /**
   * Sends a control frame, which costs no credit and does not wait. Returns false when it is longer than the node
   * accepts; then nothing was sent.
   */
  frame(frame: Frame): boolean {
    const { writer, bytesMax } = this.batch;
    const frameStart = writer.pos;
    encodeFrame(writer, frame);
    if (bytesMax !== undefined && writer.pos - frameStart > bytesMax) {
      writer.pos = frameStart;
      return false;
    }
    this.batch.cut(frameStart);
    this.schedule();
    return true;
  }

  /** Sends `Accept` as nearly every client gets it: without an id of the app and without headers. */
  acceptPlainly(number: number): void {
    const { writer } = this.batch;
    const frameStart = writer.pos;
    const start = writer.begin(FrameType.Accept);
    writer.varint(number);
    for (let absent = 0; absent < ACCEPT_PARTS; absent++) writer.u8(0);
    writer.finish(start);
    this.batch.cut(frameStart);
    this.schedule();
  }

  /** Whether frames are gathered for the end of this turn. */
  get hasOutput(): boolean {
    return this.batch.writer.pos > 0;
  }

  /** Tells how many more batches of the node were received. */
  got(batches: number): void {
    this.counts(this.batch.writer, FrameType.Got, batches);
  }

  /** Tells how many more batches of the node are begun: this leaves now, with all that was gathered before it. */
  handledAtOnce(begun: number): void {
    this.counts(this.batch.writer, FrameType.Handled, begun, 0);
    this.batch.transmit();
  }

  /** Tells how many more batches of the node are begun, and done: the latter after all that they made the app say. */
  handled(begun: number, done: number): void {
    const { writer } = this.batch;
    if (this.held.bytes === 0) return this.counts(writer, FrameType.Handled, begun, done);
    if (begun > 0) this.counts(writer, FrameType.Handled, begun, 0);
    this.counts(this.held.writer, FrameType.Handled, 0, done);
  }

  private counts(w: Writer, type: number, one: number, other?: number): void {
    const frameStart = w.pos;
    const start = w.begin(type);
    w.varint(one);
    if (other !== undefined) w.varint(other);
    w.finish(start);
    this.place(w, frameStart);
  }

  /** Sends a frame that costs no credit but keeps its place among the others. */
  orderedFrame(frame: Frame): void {
    const w = this.ordered(false);
    const frameStart = w.pos;
    encodeFrame(w, frame);
    this.place(w, frameStart);
  }

  /** Sends a message. Returns false when it is longer than the node accepts; then nothing was sent. */
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

  /** Sends a `Mark` for a session. Returns the number that the answer will have. */
  mark(number: number, flags: number): number {
    this.lastMark = (this.lastMark + 1) >>> 0;
    this.orderedFrame({ type: "Mark", session: number, mark: this.lastMark, flags });
    return this.lastMark;
  }

  close(number: number, reason: number, description: string): void {
    const w = this.ordered(false);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Close);
    w.varint(number);
    w.u8(reason);
    w.rawText(description);
    this.finish(w, frameStart, start, false);
  }

  /**
   * Attaches a socket. Returns false when the node accepts no more namespaces; then nothing was sent.
   * @param isBeside whether the session already has a socket there, which stays
   */
  attach(number: number, nsp: string, socket: string, rooms: string[], isBeside = false): boolean {
    const namespace = this.namespace(nsp);
    if (namespace === undefined) return false;
    if (isBeside && !this.takes("Beside")) {
      this.host.onUnsent(
        "sockets",
        "the node is too old for two sockets of one client in one namespace: broadcasts reach only the later one",
      );
      isBeside = false;
    }
    const { writer, frameStart, start } = this.begin(
      isBeside ? FrameType.Beside : FrameType.Attach,
      number,
      namespace,
      false,
    );
    writer.str(socket);
    writer.strs(rooms);
    // Earlier frames contain what the client missed; at this frame the node delivers the rest.
    if (!this.finishPromptly(writer, frameStart, start, this.prompt.attachMax)) {
      this.attach(number, nsp, socket, [], isBeside);
      this.join(number, nsp, rooms);
      return true;
    }
    namespace.sockets++;
    return true;
  }

  /** Chooses which of a session's sockets in a namespace later frames mean. */
  choose(number: number, nsp: string, socket: string): void {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined || !this.takes("Choose")) return;
    const { writer, frameStart, start } = this.begin(FrameType.Choose, number, namespace, false);
    writer.str(socket);
    this.finish(writer, frameStart, start, false);
  }

  /** Like {@link Outbound.attach}, for a socket that has returned. */
  reattach(number: number, nsp: string, back: Omit<FrameBodies["Reattach"], "session" | "nsp">): boolean {
    const namespace = this.namespace(nsp);
    if (namespace === undefined) return false;
    namespace.sockets++;
    this.orderedFrame({ type: "Reattach", session: number, nsp: namespace.number, ...back });
    if (this.held.bytes === 0) this.prompt.leave(this.prompt.attachMax);
    return true;
  }

  /** Ends one socket of a session that goes on: call {@link Outbound.forget} after it. */
  detach(number: number, nsp: string): void {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined) return;
    const { writer, frameStart, start } = this.begin(FrameType.Detach, number, namespace, false);
    this.finishPromptly(writer, frameStart, start, PROMPT_MAX);
  }

  /** Notes that an attached socket has ended, by itself or with its session. */
  forget(nsp: string): void {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined) return;
    namespace.sockets--;
    if (namespace.isOver) this.release(nsp);
  }

  /** Notes that the app no longer has this namespace. */
  release(nsp: string): void {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined || !this.takes("Release")) return;
    namespace.isOver = true;
    if (namespace.sockets > 0) return;
    this.namespaces.takeBack(nsp, namespace);
    this.orderedFrame({ type: "Release", nsp: namespace.number });
  }

  join(number: number, nsp: string, rooms: string[]): void {
    this.rooms(FrameType.Join, number, nsp, rooms);
  }

  leave(number: number, nsp: string, rooms: string[]): void {
    this.rooms(FrameType.Leave, number, nsp, rooms);
  }

  /** Persists a socket. Returns false when its state is longer than the node accepts; then nothing was sent. */
  persist(number: number, nsp: string, pid: string, socket: string, rooms: string[], data: Uint8Array): boolean {
    const namespace = this.namespaces.find(nsp);
    // Its sockets were never attached, and their clients are being closed for that reason.
    if (namespace === undefined) return true;
    const { writer, frameStart, start } = this.begin(FrameType.Persist, number, namespace, true);
    writer.str(pid);
    writer.str(socket);
    writer.strs(rooms);
    writer.raw(data);
    return this.finish(writer, frameStart, start, true) >= 0;
  }

  /**
   * Tells the state of a socket, which replaces the former. Returns false when nothing was sent: the node does not know
   * such states, or this one is longer than it accepts.
   */
  state(number: number, nsp: string, socket: string, pid: string, state: Uint8Array): boolean {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined || !this.takes("State")) return false;
    const { writer, frameStart, start } = this.begin(FrameType.State, number, namespace, true);
    writer.str(socket);
    writer.str(pid);
    writer.raw(state);
    return this.finish(writer, frameStart, start, true) >= 0;
  }

  /** Sets the number of the next broadcast, also for a node that did not get all earlier ones. */
  numberFrom(next: number): void {
    this.nextNumber = next;
    this.orderedFrame({ type: "Number", high: Math.floor(next / 2 ** 32), low: next >>> 0 });
  }

  /**
   * Sends a broadcast. Returns false when the packet is longer than the node accepts; then nothing was sent.
   * @param count its number among all broadcasts of this app server: the same on every trunk
   */
  broadcast({ nsp, flags, offset, rooms, except, parts }: Broadcast, count: number): boolean {
    const namespace = this.namespace(nsp);
    if (namespace === undefined) return true;
    if (this.nextNumber !== undefined && this.nextNumber !== count) this.numberFrom(count);
    const w = this.ordered(true);
    const frameStart = w.pos;
    let guess = 8;
    for (const part of parts) guess += part.length + 4;
    const start = w.begin(offset === undefined ? FrameType.Broadcast : FrameType.Recorded, guess);
    w.varint(namespace.number);
    w.u8(flags);
    if (offset !== undefined) w.str(offset);
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
    if (this.nextNumber !== undefined) this.nextNumber++;
    this.counters.broadcasts++;
    this.counters.bytesSent += bytes;
    return true;
  }

  /** Sends a relay. Returns false when the payload is longer than the node accepts; then nothing was sent. */
  relay(to: string[], payload: Uint8Array): boolean {
    const w = this.ordered(true);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Relay, payload.length + 64);
    w.strs(to);
    w.raw(payload);
    return this.finish(w, frameStart, start, true) >= 0;
  }

  /**
   * The number of a namespace on this trunk; its first use tells the node. Undefined when the node accepts no more,
   * which has been reported.
   */
  namespace(name: string): Numbered | undefined {
    const known = this.namespaces.find(name);
    if (known !== undefined) return known;
    const text = textOf(name);
    const refusal = this.namespaces.refusal(text, this.limits.namespacesMax, this.batch.bytesMax ?? 0);
    if (refusal !== undefined) return void this.host.onUnsent("namespace", refusal);
    const given = this.namespaces.give(name);
    this.orderedFrame({ type: "Namespace", nsp: given.number, name: text });
    return given;
  }

  addCredit(bytes: number): void {
    this.credit += bytes;
    this.credit -= this.held.release(this.credit, (frame) => {
      this.batch.writer.raw(frame);
      this.batch.cut(this.batch.writer.pos - frame.length);
    });
    this.hang.noteCredit(this.held.bytes);
    if (this.batch.writer.pos > 0) this.schedule();
  }

  /** Sends the gathered frames: call it once at the end of the turn. */
  flush(): void {
    this.scheduled = false;
    this.prompt.endTurn();
    this.batch.transmit();
  }

  /**
   * Sends the gathered frames before the end of the turn: the app has ended a session, and its next actions must come
   * after that.
   */
  flushPromptly(): void {
    this.prompt.leave(PROMPT_MAX);
  }

  /** Broadcasts that wait for credit; they are lost when the trunk ends. */
  get heldBroadcasts(): number {
    return this.held.broadcasts;
  }

  /** Handles that the stream broke: no credit can come, and that is not the node's fault. */
  pause(): void {
    this.hang.pause();
  }

  /** Handles that the stream has taken something: the node does not hang. */
  noteTaken(): void {
    this.hang.noteTaken();
  }

  /** Goes on with another stream. */
  resume(): void {
    this.hang.resume(this.held.bytes);
  }

  /** Ends the output: later frames are dropped, so that none gets into the next trunk. */
  end(): void {
    this.hang.stop();
    this.host = SILENT;
  }

  /** Returns the buffer of a sent batch. */
  recycle(batch: Buffer): void {
    this.batch.recycle(batch);
  }

  /** Gathers the changes of one operation on many sockets into one batch, until {@link Outbound.endTogether}. */
  beginTogether(): void {
    this.prompt.beginTogether();
  }

  endTogether(): void {
    this.prompt.endTogether();
  }

  private rooms(type: number, number: number, nsp: string, rooms: string[]): void {
    const namespace = this.namespaces.find(nsp);
    if (namespace === undefined) return;
    const { writer, frameStart, start } = this.begin(type, number, namespace, false);
    writer.strs(rooms);
    if (this.finishPromptly(writer, frameStart, start, PROMPT_MAX)) return;
    // The rooms do not fit into one frame.
    const half = rooms.length >> 1;
    if (half === 0)
      return this.host.onUnsent(
        "rooms",
        `a room's name of ${rooms[0]?.length ?? 0} characters is more than the node takes: it reaches nobody`,
      );
    this.rooms(type, number, nsp, rooms.slice(0, half));
    this.rooms(type, number, nsp, rooms.slice(half));
  }

  private begin(type: number, number: number, namespace: Numbered, isData: boolean): Place {
    const writer = this.ordered(isData);
    const frameStart = writer.pos;
    const start = writer.begin(type);
    writer.varint(number);
    writer.varint(namespace.number);
    return { writer, frameStart, start };
  }

  /**
   * The writer for a frame that must keep its place among the others: after those that wait for credit, if there are
   * any.
   */
  private ordered(isData: boolean): Writer {
    if (this.held.bytes > 0 || (isData && this.credit <= 0)) return this.held.writer;
    return this.batch.writer;
  }

  /**
   * Ends an ordered frame. Returns the length of its body, or -1 when it is too long for any batch: then it is removed.
   */
  private finish(w: Writer, frameStart: number, start: number, isData: boolean): number {
    const bytes = w.finish(start);
    if (w.pos - frameStart > (this.batch.bytesMax ?? 0)) {
      w.pos = frameStart;
      return -1;
    }
    if (w !== this.batch.writer) this.hang.noteHeld(this.held.bytes);
    else if (isData) this.credit -= bytes;
    this.place(w, frameStart);
    return bytes;
  }

  /**
   * Ends a frame that changes memberships. Unless it must wait for credit after others, it is sent now, with everything
   * that the turn has gathered before it, so that each client sees the app's actions in order. Returns false when it is
   * too long for any batch: then it is removed.
   */
  private finishPromptly(w: Writer, frameStart: number, start: number, promptMax: number): boolean {
    const isHeld = w !== this.batch.writer;
    if (this.finish(w, frameStart, start, false) < 0) return false;
    if (!isHeld) this.prompt.leave(promptMax);
    return true;
  }

  private place(w: Writer, frameStart: number): void {
    if (w !== this.batch.writer) return;
    this.batch.cut(frameStart);
    this.schedule();
  }

  /** Asks for a {@link Outbound.flush} at the end of this turn. */
  schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.host.schedule();
  }
}
