/** The output of a trunk in the form that callers use, and what an {@link Outbound} needs from its owner. */

/** What an {@link Outbound} needs from its owner. */
export interface OutboundHost {
  /** Called when frames wait to be sent: call `flush` at the end of this turn of the event loop. */
  schedule(): void;
  /** Sends one batch; it is not changed until it is returned through `recycle`. */
  transmit(batch: Buffer): void;
  /** Called when much waits for credit and none has come for long: not called twice without credit in between. */
  onHang(heldBytes: number, forMs: number): void;
  /**
   * Called when something was not sent because the node would not accept it. @param kind the same for all cases for
   * which one sentence is enough
   */
  onUnsent(kind: "namespace" | "response" | "rooms" | "sockets", sentence: string): void;
}

/** Counts of sent messages and bytes. */
export interface Counters {
  messagesSent: number;
  bytesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  broadcasts: number;
}

/** The counters that all trunks of an app server share. */
export interface TrunkCounters extends Counters {
  reconnects: number;
  resumed: number;
  broadcastsDropped: number;
  unsent: number;
}

/** The content of a message: text or bytes. */
export type PartData = string | Uint8Array;

/** A Socket.IO packet for many sockets. */
export interface Broadcast {
  readonly nsp: string;
  readonly flags: number;
  /** The offset of a packet that the node keeps for returning clients. */
  readonly offset: string | undefined;
  readonly rooms: string[];
  readonly except: string[];
  readonly parts: PartData[];
  /** Whether it is for one socket alone, which this app server has. */
  readonly isOwn?: boolean;
}
