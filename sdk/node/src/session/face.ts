/**
 * The objects that apps find at `conn.transport` and at `transport.socket`. The node has the real ones: these do what
 * is possible from here, and report the rest.
 */
import { EventEmitter } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { TransportCode } from "../trunk/frames.js";
import { Emitter } from "./emitter.js";
import { ClientStream, type HandshakeRequest } from "./request.js";

/** The transports, by Engine.IO's names. */
export type TransportName = "polling" | "websocket";

/** The name of a transport by its number in frames. */
export function transportName(code: number): TransportName {
  return code === TransportCode.polling ? "polling" : "websocket";
}

/** What a transport needs of its session. */
export interface FaceHost {
  readonly id: string;
  readonly protocol: number;
  readonly request: HandshakeRequest;
  readonly remoteAddress: string;
  readonly transport: unknown;
  readonly upgrading: boolean;
  readonly upgraded: boolean;
  readonly server: { readonly opts: FaceOptions; onUnhonoured(sentence: string): void };
  send(data: unknown, options?: object): unknown;
  /** Ends the session in the way in which the end of its transport would. */
  endByTransport(): void;
  /** Ends the session at once, for this reason. */
  onClose(reason: string, description?: unknown): void;
}

interface FaceOptions {
  readonly maxHttpBufferSize?: unknown;
  readonly httpCompression?: unknown;
  readonly perMessageDeflate?: unknown;
}

/** A session's transport, as apps see it. */
export class TransportFace extends Emitter {
  readonly name: TransportName;
  /** Always true: the node decides at the real stream whether a volatile packet can be sent now. */
  writable = true;
  readyState = "open";
  discarded = false;
  private readonly conn: FaceHost;
  private webSocket: WebSocketFace | undefined;
  /** Whether the app has emitted `error` at this transport. */
  private failed = false;

  constructor(name: TransportName, conn: FaceHost) {
    super();
    this.name = name;
    this.conn = conn;
  }

  get sid(): string {
    return this.conn.id;
  }

  get protocol(): number {
    return this.conn.protocol;
  }

  get supportsBinary(): boolean {
    return !this.conn.request._query.b64;
  }

  get handlesUpgrades(): boolean {
    return this.name === "websocket";
  }

  get maxHttpBufferSize(): unknown {
    return this.name === "polling" ? this.conn.server.opts.maxHttpBufferSize : undefined;
  }

  get httpCompression(): unknown {
    return this.name === "polling" ? this.conn.server.opts.httpCompression : undefined;
  }

  get perMessageDeflate(): unknown {
    return this.name === "websocket" ? this.conn.server.opts.perMessageDeflate : undefined;
  }

  /** The object of the `ws` package, for a WebSocket. */
  get socket(): WebSocketFace | undefined {
    if (this.name !== "websocket") return undefined;
    return (this.webSocket ??= new WebSocketFace(this.conn, () => this.close()));
  }

  /** Ends the session with `transport close`, as in Engine.IO. */
  close(done?: () => void): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    process.nextTick(() => {
      done?.();
      this.conn.endByTransport();
    });
  }

  discard(): void {
    this.discarded = true;
  }

  /**
   * Emits an event. `error` ends the session first, because Engine.IO listens to the `error` of its transports before
   * the app does. Done here instead of in a listener, which would cost memory for every upgraded session.
   */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "error") return super.emit(event, ...args);
    this.fail(args[0]);
    if (this.listenerCount(event) > 0) super.emit(event, ...args);
    return true;
  }

  /** Ends the session with `transport error`. A transport that has been replaced fails silently. */
  private fail(error: unknown): void {
    if (this.conn.transport === this) {
      this.failed = true;
      this.conn.onClose("transport error", error);
    } else if (this.conn.upgrading) {
      this.conn.server.onUnhonoured(
        'transport.emit("error") in a listener of upgrading: the client has upgraded by then; the session goes on',
      );
    }
  }

  /** Sends messages as the session does; only the node makes packets of other types. */
  send(packets: readonly { type: string; data?: unknown; options?: object }[]): void {
    for (const { type, data, options } of packets) {
      if (type === "message") this.conn.send(data, options);
      else
        this.conn.server.onUnhonoured(
          `transport.send of a packet of type ${type}: only the node makes these; it was not sent`,
        );
    }
  }

  /** Marks the transport as closed, because the session ended or continues on another transport. */
  end(): void {
    if (this.readyState === "closed") return;
    // Later than the session, as in Engine.IO, where a WebSocket is closed when the client has answered.
    if (this.failed && this.name === "websocket") {
      this.failed = false;
      this.readyState = "closing";
      process.nextTick(() => this.end());
      return;
    }
    this.readyState = "closed";
    this.webSocket?.end();
    this.emit("close");
  }
}

const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
/** Events of a `ws` socket about frames, which do not arrive here. */
const OF_FRAMES: ReadonlySet<string | symbol> = new Set(["message", "ping", "pong"]);

/** A `ws` socket, as far as it can be imitated: its state, its stream, and ways to end it. */
export class WebSocketFace extends EventEmitter {
  readyState = OPEN;
  readonly bufferedAmount = 0;
  readonly binaryType = "nodebuffer";
  readonly extensions = "";
  readonly protocol = "";
  readonly isPaused = false;
  private readonly conn: FaceHost;
  private readonly closeTransport: () => void;
  private stream: NetSocket | undefined;

  constructor(conn: FaceHost, closeTransport: () => void) {
    super();
    this.conn = conn;
    this.closeTransport = closeTransport;
  }

  /**
   * The stream of the WebSocket: that of the handshake, unless the client has upgraded, which it does on another one.
   */
  get _socket(): NetSocket {
    const { request, remoteAddress, upgraded } = this.conn;
    if (!upgraded) return request.socket;
    if (this.stream === undefined) {
      const stream = new ClientStream(remoteAddress, 0, 0);
      stream.onDestroyed = { handleStreamDestroyed: () => this.close() };
      this.stream = stream as unknown as NetSocket;
    }
    return this.stream;
  }

  override on(event: string | symbol, listener: (...args: unknown[]) => void): this {
    if (OF_FRAMES.has(event)) this.say(`on("${String(event)}")`);
    return super.on(event, listener);
  }

  override addListener(event: string | symbol, listener: (...args: unknown[]) => void): this {
    return this.on(event, listener);
  }

  close(): void {
    if (this.readyState !== OPEN) return;
    this.readyState = CLOSING;
    this.closeTransport();
  }

  terminate(): void {
    this.close();
  }

  send(): void {
    this.say("send");
  }

  ping(): void {
    this.say("ping");
  }

  pong(): void {
    this.say("pong");
  }

  pause(): void {
    this.say("pause");
  }

  resume(): void {
    this.say("resume");
  }

  end(): void {
    this.readyState = CLOSED;
    this.emit("close", 1006, Buffer.alloc(0));
  }

  private say(what: string): void {
    this.conn.server.onUnhonoured(`transport.socket.${what}: the node speaks WebSocket itself; nothing was done`);
  }
}
