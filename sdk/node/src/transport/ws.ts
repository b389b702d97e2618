/** The stream under a trunk: the only file that knows the `ws` package. */
import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { WebSocket, type RawData } from "ws";

const HANDSHAKE_MS_MAX = 10_000;
const REFUSAL_BYTES_MAX = 64 * 1024;
/**
 * Far above any `batch_bytes_max`: a protection against a peer that is no node. The state machine checks the real
 * limit.
 */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;
/** How long the node may take to answer our close frame. */
const CLOSE_MS_MAX = 2_000;

/** Receives the events of a stream. */
export interface WireHandlers {
  onOpen(): void;
  onBatch(batch: Buffer): void;
  /** The kernel has taken a batch of ours. */
  onSent(): void;
  /** The node answered the upgrade with another HTTP status; nothing follows. */
  onRefused(status: number, body: string): void;
  /** Called when the stream ended, or could not be opened (then `error` says why); the last event. */
  onClose(code: number, reason: string, error: Error | undefined): void;
}

/** An open stream to a node. */
export interface Wire {
  /** The address and the port of our own end, as `address:port`; undefined when they are not known. */
  readonly from: string | undefined;
  /** Whether a batch was read that will be handed on before anything else is read; absent where that is not known. */
  readonly hasRead?: boolean;
  /** Whether something that was sent is still in this process; absent where that is not known. */
  readonly isBlocked?: boolean;
  /** Sends one batch. The buffer must not be changed until `sent` is called. */
  send(batch: Buffer, sent: () => void): void;
  /** Sends what is under way, then closes. */
  close(code: number): void;
  terminate(): void;
}

/** Opens a stream to a node. Tests replace it. */
export type OpenWire = (url: URL, token: string, tls: ConnectionOptions | undefined, handlers: WireHandlers) => Wire;

/** Opens a WebSocket to a node. */
export const openWire: OpenWire = (url, token, tls, handlers) => {
  const socket = new WebSocket(url, {
    ...tls,
    headers: { Authorization: `Bearer ${token}` },
    handshakeTimeout: HANDSHAKE_MS_MAX,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false,
    skipUTF8Validation: true,
    // One batch is one turn: two batches of one read are two turns.
    allowSynchronousEvents: false,
    // A mask protects proxies from scripts in browsers. There is no script here, and a mask of zeros saves both ends a
    // pass over the bytes.
    generateMask: zeroMask,
  });
  return new WsWire(socket, handlers);
};

/** A shorter batch is copied behind its head, so that one write takes both. */
const JOINED_BYTES_MAX = 8 * 1024;
const MASK_BYTES = 4;

/** The state of a receiver of `ws` that has a whole message and hands it on in this turn of the event loop. */
const DEFER_EVENT = 6;

function zeroMask(mask: Buffer): void {
  mask.fill(0);
}

class WsWire implements Wire {
  from: string | undefined;
  /** What is under the WebSocket; undefined where that is not known. */
  private stream: Socket | undefined;
  private readonly socket: WebSocket;
  private readonly handlers: WireHandlers;
  private error: Error | undefined;
  private ended = false;
  private closeTimer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, handlers: WireHandlers) {
    this.socket = socket;
    this.handlers = handlers;
    socket.on("upgrade", ({ socket: stream }) => {
      this.from = addressOf(stream);
      if (stream instanceof Socket) this.stream = stream;
    });
    socket.on("open", () => handlers.onOpen());
    socket.on("message", (data: RawData, isBinary: boolean) => this.message(data, isBinary));
    socket.on("unexpected-response", (_request, response) => this.refused(response));
    socket.on("error", (error) => (this.error ??= error));
    socket.on("close", (code, reason) => this.end(() => handlers.onClose(code, reason.toString(), this.error)));
  }

  /** A hint only, from a private field: another version of `ws`, and other runtimes, may not have it. */
  get hasRead(): boolean {
    return (this.socket as { _receiver?: { _state?: unknown } })._receiver?._state === DEFER_EVENT;
  }

  get isBlocked(): boolean {
    return this.socket.bufferedAmount > 0;
  }

  send(batch: Buffer, sent: () => void): void {
    const done = (): void => {
      sent();
      this.handlers.onSent();
    };
    const { stream, socket } = this;
    if (stream === undefined || socket.readyState !== WebSocket.OPEN)
      return socket.send(batch, { binary: true, compress: false }, done);
    // Past `ws`, which takes longer for this than the kernel for the bytes. Its own frames are whole, so these may come
    // between them.
    const { length } = batch;
    if (length <= JOINED_BYTES_MAX) {
      const frame = withHead(length, length);
      frame.set(batch, frame.length - length);
      stream.write(frame, done);
    } else {
      stream.cork();
      stream.write(withHead(length, 0));
      stream.write(batch, done);
      stream.uncork();
    }
  }

  close(code: number): void {
    // The stream has ended: a timer would only keep the process alive.
    if (this.ended) return;
    this.socket.close(code);
    this.closeTimer ??= setTimeout(() => this.socket.terminate(), CLOSE_MS_MAX);
  }

  terminate(): void {
    this.socket.terminate();
  }

  private message(data: RawData, isBinary: boolean): void {
    if (this.ended) return;
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.error ??= new Error("the peer sent a text message: it is no trunkline node");
      this.socket.terminate();
      return;
    }
    this.handlers.onBatch(data);
  }

  private refused(response: IncomingMessage): void {
    let body = "";
    const done = (): void => {
      this.end(() => this.handlers.onRefused(response.statusCode ?? 0, body));
      this.socket.terminate();
    };
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      body += chunk;
      if (body.length > REFUSAL_BYTES_MAX) response.destroy();
    });
    response.on("error", () => undefined);
    response.on("close", done);
  }

  private end(report: () => void): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.closeTimer);
    report();
  }
}

/** The head of a WebSocket's only frame of a message of this length, and room after it. */
function withHead(length: number, room: number): Buffer {
  const extended = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const head = 2 + extended + MASK_BYTES;
  const frame = Buffer.allocUnsafe(head + room);
  frame[0] = 0x82; // The last part of a binary message.
  frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) frame.writeUInt16BE(length, 2);
  else if (extended === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.writeUInt32BE(0, head - MASK_BYTES);
  return frame;
}

/** An address as the node sees it: an IPv6 address is in brackets, an IPv4 address never in IPv6's form. */
function addressOf(socket: Partial<Socket> | null | undefined): string | undefined {
  // Bun has none here.
  if (socket === null || socket === undefined) return undefined;
  const { localAddress: address, localPort: port } = socket;
  if (address === undefined || port === undefined) return undefined;
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return `${plain.includes(":") ? `[${plain}]` : plain}:${port}`;
}
