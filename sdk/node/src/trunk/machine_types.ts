/** What a machine needs from its owner, and why a trunk ended. */
import type { Frame, FrameBodies, ListedNode } from "./frames.js";
import type { OutboundHost } from "./outbound_types.js";

/** The reason why a trunk ended. */
export interface EndCause {
  readonly code: number;
  readonly message: string;
  readonly by: "us" | "node";
}

/** What a machine needs of its owner. */
export interface MachineHost extends OutboundHost {
  onOpen(open: FrameBodies["Open"]): void;
  /** Asks for a session of another app server, or of this one's former trunk: answer with `accept` or `close`. */
  onAdopt(adopt: FrameBodies["Adopt"]): void;
  onRequest(request: FrameBodies["Request"]): void;
  /** Reports the other app servers that have a trunk to this node. */
  onPeers(servers: string[]): void;
  /** @param payload a view of the batch: copy it to keep it */
  onRelayed(from: string, payload: Buffer): void;
  /** Reports the nodes of the cluster. */
  onNodes(nodes: ListedNode[]): void;
  onDrain(deadlineMs: number): void;
  /**
   * Reports whether sockets of the hub may belong to no app server, or what to do with those of ours that belonged to
   * none.
   */
  onUnhomed(frame: Frame & { type: "Operate" | "Unhomed" }): void;
  /** Reports that the node has received this many more of our batches. Returns false if there were not so many. */
  onGot(batches: number): boolean;
  /** Reports the end of the trunk; everything to be sent has been passed to `transmit`. */
  onEnd(cause: EndCause): void;
  /** Reports that a handler of the app threw an error. */
  onThrown(error: unknown): void;
  /** Calls back when everything written so far has been passed to the stream. */
  onFlushed(callback: () => void): void;
}
