/** The sessions of one trunk, by their numbers, and what stands in the place of one that is no session now. */

/** One client session, as the machine sees it. */
export interface Session {
  /** True from `Accept` on: before it the node may not send messages. */
  readonly accepted: boolean;
  handleMessage(data: string | Buffer): void;
  handleUpgraded(transport: number): void;
  /** The answer to a `Mark`. */
  handleMarked(mark: number, waitingBytes: number): void;
  /** The node ended the session, and the machine has answered. */
  handleClose(reason: number, description: string): void;
  /** The trunk ended, and the session with it. */
  handleTrunkLost(): void;
}

/** In place of a session: we have sent `Close` and wait for the node's. */
export const CLOSING: Session = nobody(true);
/** In place of a session: its `Open` waits for the end of this turn. */
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
 * A list and no `Map`: a node gives out small numbers, those that became free first, so a place costs 8 bytes and no
 * look-up in a table. It is as right for any other numbers, but then V8 makes a table of it.
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

  /** Takes all of them out. */
  takeAll(): Session[] {
    // Only the places that there are: numbers may be far apart.
    const taken = Object.values(this.places);
    this.places = [];
    return taken.filter((session) => session !== undefined);
  }
}
