/** The sessions of one trunk, by their numbers, and the stand-ins for numbers without a session. */

/** One client session, as the machine sees it. */
export interface Session {
  /** Whether the session is accepted: before that, the node must not send messages. */
  readonly accepted: boolean;
  handleMessage(data: string | Buffer): void;
  handleUpgraded(transport: number): void;
  /** The answer to a `Mark`. */
  handleMarked(mark: number, waitingBytes: number): void;
  /** Handles that the node ended the session; the machine has already answered. */
  handleClose(reason: number, description: string): void;
  /**
   * Handles that the node agrees to hand the session over: no more messages come, and {@link Machine.handOver} ends it
   * here.
   */
  handleLeave?(): void;
  /**
   * Handles that another node has the session now, or is about to: {@link Machine.close} is the last word here.
   * @param hasEnded the node had said so before, and has ended the session meanwhile
   */
  handleMove?(hasEnded: boolean): void;
  /** Handles that the trunk ended, and the session with it. */
  handleTrunkLost(): void;
}

/** A stand-in for a session: we have sent `Close` and wait for the node's. */
export const CLOSING: Session = nobody(true);
/** A stand-in for a session: its `Open` waits for the end of this turn. */
export const OPENING: Session = nobody(false);

function nobody(accepted: boolean): Session {
  const ignore = (): void => undefined;
  return {
    accepted,
    handleMessage: ignore,
    handleUpgraded: ignore,
    handleMarked: ignore,
    handleClose: ignore,
    handleTrunkLost: ignore,
  };
}

/**
 * The sessions by their numbers. A list instead of a `Map`: a node gives out small numbers and reuses free ones first,
 * so a place costs 8 bytes and needs no look-up. Other numbers work as well, but then V8 makes the list a table.
 */
export class Sessions {
  private places: (Session | undefined)[] = [];

  get(number: number): Session | undefined {
    return this.places[number];
  }

  set(number: number, session: Session): void {
    this.places[number] = session;
  }

  delete(number: number): void {
    if (this.places[number] !== undefined) this.places[number] = undefined;
  }

  /** Removes and returns all sessions. */
  takeAll(): Session[] {
    // Only places in use: numbers may be far apart.
    const taken = Object.values(this.places);
    this.places = [];
    return taken.filter((session) => session !== undefined);
  }
}
