/** The figures that an app server shows. */

/** Figures of one app server, from `Trunkline.stats`. */
export interface TrunklineStats {
  /** Trunks that are up now, of `trunks`. */
  readonly trunksUp: number;
  readonly trunks: number;
  /** Other app servers of the hub, over all trunks. */
  readonly peers: number;
  /** Client sessions behind Trunkline that this process holds now. */
  readonly sessions: number;
  /**
   * Engine.IO messages and their bytes, to and from clients, since the start; a broadcast counts once for each trunk.
   */
  readonly messagesSent: number;
  readonly bytesSent: number;
  readonly messagesReceived: number;
  readonly bytesReceived: number;
  /** Broadcasts that were sent to nodes; each counts once for each trunk. */
  readonly broadcasts: number;
  /** Bytes that wait for a node to take them. */
  readonly heldBytes: number;
  /**
   * Broadcasts that were given up because a trunk was down too long, or that waited for a node when its trunk ended.
   */
  readonly broadcastsDropped: number;
  /**
   * Data that was not sent for another reason than a message's length: there are too many namespaces, or a room's name
   * or an answer of the app is too long.
   */
  readonly unsent: number;
  /** Messages and broadcasts that were longer than a node takes. */
  readonly tooLong: number;
  /** Trunks that came up again after they had been up. */
  readonly reconnects: number;
  /** Trunks whose stream broke and that went on with another one: no session ended, and no event told of it. */
  readonly resumed: number;
  /** Clients that came from another app server, and clients that another one got, without a disconnect. */
  readonly adopted: number;
  readonly handedOver: number;
  /** Clients that went from one node to another when they upgraded, without a disconnect. */
  readonly moved: number;
}
