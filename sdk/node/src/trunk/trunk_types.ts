/** What a trunk is told, and what it needs from its owner. */
import type { TrunklineError } from "./errors.js";
import type { FrameBodies, ListedNode } from "./frames.js";
import type { NodeInfo } from "./info.js";
import type { Machine } from "./machine.js";
import type { Operate } from "./operate.js";
import type { StreamConfig } from "./stream.js";

/** The configuration of a trunk. */
export interface TrunkConfig extends Omit<StreamConfig, "key"> {
  readonly url: URL;
  /** Returns the hub's key at present, for the next attempt; may throw. */
  readonly key: () => string;
  /** Whether the app server must be asked about each request of its sessions. */
  readonly everyRequest: boolean;
  /** Whether sessions may go on at another app server: then the node must know what was handled. */
  readonly rehome: boolean;
}

/** What a trunk needs from its owner. */
export interface TrunkHost<Trunk> {
  /** The options for `Hello.settings`, requested when a stream opens. */
  settings(): Record<string, unknown>;
  /** The number of our next broadcast. */
  nextBroadcast(): number;
  /** A number for a stream that is about to say `Hello`, and those of our other trunks. */
  opening(trunk: Trunk): { readonly opening: number; readonly beside: number[] };
  /** The address at which to try to continue a trunk whose stream broke. */
  wayBack(trunk: Trunk): URL;
  /** How long a trunk waits that has found only nodes that our other trunks reach; undefined: as after a failure. */
  spareDelayMs(trunk: Trunk): number | undefined;
  onUp(trunk: Trunk, info: NodeInfo): void;
  /** Called when the trunk broke; a new attempt follows. @param wasDraining whether the node had said that it leaves */
  onDown(trunk: Trunk, error: TrunklineError, wasDraining: boolean): void;
  /** Called when an attempt failed; another follows. */
  onRetry(trunk: Trunk, error: TrunklineError): void;
  /**
   * Called when the node says that a retry cannot help ({@link Trunk.isRefused} is true already). Returns whether to
   * believe it and stop.
   */
  givesUp(trunk: Trunk): boolean;
  /** Called when the trunk is given up. */
  onFinal(trunk: Trunk, error: TrunklineError): void;
  onWarning(trunk: Trunk, message: string): void;
  /** Called with the nodes of the cluster, as the node knows them. */
  onNodes(trunk: Trunk, nodes: ListedNode[]): void;
  /** Called once in each ping interval. */
  onTick(): void;
  onOpen(machine: Machine, open: FrameBodies["Open"]): void;
  onAdopt(machine: Machine, adopt: FrameBodies["Adopt"]): void;
  /** Called at the end of each turn with output, before its last batch is sent. */
  onTurnEnd(): void;
  onRequest(machine: Machine, request: FrameBodies["Request"]): void;
  /** Called with the other app servers that this trunk reaches now: none when the trunk is down. */
  onPeers(trunk: Trunk, servers: string[]): void;
  onRelayed(from: string, payload: Buffer): void;
  /** Asks to do something with sockets of ours. */
  onOperate(operate: Operate): void;
}
