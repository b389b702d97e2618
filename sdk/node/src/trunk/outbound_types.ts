/** What leaves through a trunk, as callers say it, and what an {@link Outbound} needs of them. */

export interface OutboundHost {
  /** Something waits to be sent: call `flush` when this turn of the event loop is over. */
  schedule(): void;
  /** Sends one batch; it is not touched until it comes back through `recycle`. */
  transmit(batch: Buffer): void;
  /** Much waits for credit, and none has come for long: not called twice without credit in between. */
  onHang(heldBytes: number, forMs: number): void;
  /**
   * Something was not sent, because the node would not take it. @param kind the same for all that one sentence says
   * enough of
   */
  onUnsent(kind: "namespace" | "response" | "rooms" | "sockets", sentence: string): void;
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
