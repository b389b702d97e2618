/**
 * What leaves through a trunk: frames gather in one batch, those that cost credit wait for it (`spec/trunk.md`, sections 2 and 5). The verbs
 * here write their frame straight into the batch, without an object for it.
 */
import { textOf } from "../keys.js";
import { encodeFrame } from "./encode.js";
import { FrameType, PartKind, type Frame } from "./frames.js";
import { HeldFrames } from "./held.js";
import { Writer } from "./writer.js";

/** A batch of at least this many bytes is taken from any node. */
export const BATCH_BYTES_MIN = 1024;
/** Buffers of sent batches that are kept for the next ones. */
const SPARES_MAX = 4;
/** Of an `Accept`, behind the number: the app's id, headers, lasting headers. */
const ACCEPT_PARTS = 3;
const SPARE_BYTES_MAX = 256 * 1024;

export interface OutboundHost {
  /** Something waits to be sent: call `flush` when this turn of the event loop is over. */
  schedule(): void;
  /** Sends one batch; it is not touched until it comes back through `recycle`. */
  transmit(batch: Buffer): void;
}

export interface Counters {
  messagesSent: number;
  bytesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  broadcasts: number;
}

export type PartData = string | Uint8Array;

/** A Socket.IO packet for many. */
export interface Broadcast {
  readonly nsp: string;
  readonly flags: number;
  /** The offset of a packet that the node keeps for clients that come back. */
  readonly offset: string | undefined;
  readonly rooms: string[];
  readonly except: string[];
  readonly parts: PartData[];
}

const SILENT: OutboundHost = { schedule: () => undefined, transmit: () => undefined };

interface Place {
  readonly writer: Writer;
  readonly frameStart: number;
  readonly start: number;
}

export class Outbound {
  private host: OutboundHost;
  private readonly counters: Counters;
  private readonly namespaces = new Map<string, number>();
  private readonly held = new HeldFrames();
  private readonly spares: Buffer[] = [];
  private out = new Writer();
  private scheduled = false;
  private credit = 0;
  /** Undefined until `Welcome`. */
  private batchBytesMax: number | undefined;

  constructor(host: OutboundHost, counters: Counters) {
    this.host = host;
    this.counters = counters;
  }

  /** Bytes of frames that wait for credit. */
  get heldBytes(): number {
    return this.held.bytes;
  }

  /** The longest payload of a `Relay` with room for its other fields. */
  get relayBytesMax(): number {
    return (this.batchBytesMax ?? BATCH_BYTES_MIN) >> 1;
  }

  /** What `Welcome` allows. */
  open(credit: number, batchBytesMax: number): void {
    this.credit = credit;
    this.batchBytesMax = batchBytesMax;
  }

  /** A control frame: it costs no credit and waits for nobody. */
  frame(frame: Frame): void {
    const frameStart = this.out.pos;
    encodeFrame(this.out, frame);
    this.cut(frameStart);
    this.schedule();
  }

  /** `Accept` as nearly every client gets it: without an id of the app's and without headers. */
  acceptPlainly(number: number): void {
    const frameStart = this.out.pos;
    const start = this.out.begin(FrameType.Accept);
    this.out.varint(number);
    for (let absent = 0; absent < ACCEPT_PARTS; absent++) this.out.u8(0);
    this.out.finish(start);
    this.cut(frameStart);
    this.schedule();
  }

  /** A frame without cost that keeps its place among the others. */
  orderedFrame(frame: Frame): void {
    const w = this.ordered(false);
    const frameStart = w.pos;
    encodeFrame(w, frame);
    this.place(w, frameStart);
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

  close(number: number, reason: number, description: string): void {
    const w = this.ordered(false);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Close);
    w.varint(number);
    w.u8(reason);
    w.rawText(description);
    this.finish(w, frameStart, start, false);
  }

  attach(number: number, nsp: string, socket: string, rooms: string[]): void {
    const { writer, frameStart, start } = this.begin(FrameType.Attach, number, nsp, false);
    writer.str(socket);
    writer.strs(rooms);
    this.finish(writer, frameStart, start, false);
  }

  detach(number: number, nsp: string): void {
    const { writer, frameStart, start } = this.begin(FrameType.Detach, number, nsp, false);
    this.finish(writer, frameStart, start, false);
  }

  join(number: number, nsp: string, rooms: string[]): void {
    this.rooms(FrameType.Join, number, nsp, rooms);
  }

  leave(number: number, nsp: string, rooms: string[]): void {
    this.rooms(FrameType.Leave, number, nsp, rooms);
  }

  /** Returns false when the socket's state is longer than the node takes; then nothing was sent. */
  persist(number: number, nsp: string, pid: string, socket: string, rooms: string[], data: Uint8Array): boolean {
    const { writer, frameStart, start } = this.begin(FrameType.Persist, number, nsp, true);
    writer.str(pid);
    writer.str(socket);
    writer.strs(rooms);
    writer.raw(data);
    return this.finish(writer, frameStart, start, true) >= 0;
  }

  /** Returns false when the packet is longer than the node takes; then nothing was sent. */
  broadcast({ nsp, flags, offset, rooms, except, parts }: Broadcast): boolean {
    const number = this.namespace(nsp);
    const w = this.ordered(true);
    const frameStart = w.pos;
    let guess = 8;
    for (const part of parts) guess += part.length + 4;
    const start = w.begin(offset === undefined ? FrameType.Broadcast : FrameType.Recorded, guess);
    w.varint(number);
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
    this.counters.broadcasts++;
    this.counters.bytesSent += bytes;
    return true;
  }

  /** Returns false when the payload is longer than the node takes; then nothing was sent. */
  relay(to: string[], payload: Uint8Array): boolean {
    const w = this.ordered(true);
    const frameStart = w.pos;
    const start = w.begin(FrameType.Relay, payload.length + 64);
    w.strs(to);
    w.raw(payload);
    return this.finish(w, frameStart, start, true) >= 0;
  }

  /** The number of a namespace on this trunk; the node is told with the first use. */
  namespace(name: string): number {
    const known = this.namespaces.get(name);
    if (known !== undefined) return known;
    const number = this.namespaces.size;
    this.namespaces.set(name, number);
    this.orderedFrame({ type: "Namespace", nsp: number, name: textOf(name) });
    return number;
  }

  addCredit(bytes: number): void {
    this.credit += bytes;
    this.credit -= this.held.release(this.credit, (frame) => {
      this.out.raw(frame);
      this.cut(this.out.pos - frame.length);
    });
    if (this.out.pos > 0) this.schedule();
  }

  /** Sends what has gathered: call it once when the turn is over. */
  flush(): void {
    this.scheduled = false;
    if (this.out.pos === 0) return;
    this.host.transmit(this.out.take(this.spares.pop()));
  }

  /** The trunk is over: what comes now goes nowhere, least of all into the next trunk. */
  end(): void {
    this.host = SILENT;
  }

  /** Gives back the buffer of a batch that has left. */
  recycle(batch: Buffer): void {
    const whole = Buffer.from(batch.buffer);
    if (this.spares.length < SPARES_MAX && whole.length <= SPARE_BYTES_MAX) this.spares.push(whole);
  }

  private rooms(type: number, number: number, nsp: string, rooms: string[]): void {
    const { writer, frameStart, start } = this.begin(type, number, nsp, false);
    writer.strs(rooms);
    this.finish(writer, frameStart, start, false);
  }

  private begin(type: number, number: number, nsp: string, isData: boolean): Place {
    const namespace = this.namespace(nsp);
    const writer = this.ordered(isData);
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
    if (w.pos - frameStart > (this.batchBytesMax ?? 0)) {
      w.pos = frameStart;
      return -1;
    }
    if (w === this.out && isData) this.credit -= bytes;
    this.place(w, frameStart);
    return bytes;
  }

  private place(w: Writer, frameStart: number): void {
    if (w !== this.out) return;
    this.cut(frameStart);
    this.schedule();
  }

  /** When the last frame made the batch too long: sends what is before it. */
  private cut(frameStart: number): void {
    if (this.batchBytesMax === undefined || this.out.pos <= this.batchBytesMax || frameStart === 0) return;
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
