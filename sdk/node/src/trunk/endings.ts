/** The ends of sessions on one trunk: `Close` from both ends (`spec/trunk.md`, section 4), and sessions that leave it. */
import { CloseReason, ErrorCode, type FrameBodies } from "./frames.js";
import type { Outbound } from "./outbound.js";
import { CLOSING, type Session, type Sessions } from "./sessions.js";
import type { Turn } from "./turn.js";

/** What the ends need of the machine. */
export interface EndingsHost {
  /** Runs a handler so that an error does not affect the others. */
  guard(handler: () => void): void;
  fail(code: number, message: string): void;
}

/** Reasons of ends that arrived in one payload with the session's last messages. */
const WITH_MESSAGES: ReadonlySet<number> = new Set([
  CloseReason.closedWithMessages,
  CloseReason.parseErrorWithMessages,
]);

/** The ends of one trunk's sessions. */
export class Endings {
  private readonly sessions: Sessions;
  private readonly outbound: Outbound;
  private readonly turn: Turn;
  private readonly host: EndingsHost;
  /**
   * Numbers that the node has closed because the session goes elsewhere, and that we have not closed, with the reason;
   * `undefined` once the node has said that it goes nowhere.
   */
  private readonly leaving = new Map<number, number | undefined>();

  constructor(sessions: Sessions, outbound: Outbound, turn: Turn, host: EndingsHost) {
    this.sessions = sessions;
    this.outbound = outbound;
    this.turn = turn;
    this.host = host;
  }

  /** Closes a session that the node has not closed yet, or that leaves this trunk. */
  close(number: number, reason: number, description: string): void {
    // The number is free once both ends have closed it.
    if (this.leaving.delete(number)) this.sessions.delete(number);
    else this.sessions.set(number, CLOSING);
    this.outbound.close(number, reason, description);
  }

  handleClose(close: FrameBodies["Close"]): void {
    const { session: number, reason } = close;
    const session = this.sessions.get(number);
    // CLOSING: this is the node's answer to our `Close`. Undefined: we have rejected the session, and the two frames
    // crossed.
    if (session === undefined || session === CLOSING) {
      this.sessions.delete(number);
      return;
    }
    if (this.leaving.has(number)) {
      if (this.leaving.get(number) !== CloseReason.moved)
        return this.host.fail(ErrorCode.protocol, `a second Close came for session ${number}, which leaves this trunk`);
      // It has ended on its way. Our `Close` is due as before.
      return this.handleLeave(number, undefined, session, () => session.handleMove?.(true));
    }
    if (reason === CloseReason.handedOver && session.accepted)
      return this.handleLeave(number, reason, session, () => session.handleLeave?.());
    if (reason === CloseReason.moved && session.accepted)
      return this.handleLeave(number, reason, session, () => session.handleMove?.(false));
    // Socket.IO passes an event to the app some ticks after its message arrived, and drops the event if the socket has
    // ended by then. Without a trunk, the end comes in a later turn than the last message, unless both were in one
    // payload.
    if (!session.accepted || WITH_MESSAGES.has(reason)) this.finishClose(close, session);
    else this.turn.postpone(() => this.finishClose(close, session));
  }

  /** Forgets everything, because the trunk has ended. */
  end(): void {
    this.leaving.clear();
  }

  /**
   * Handles that the node sends no more messages for a session that leaves. Until our `Close` everything can still be
   * sent for it. As with any `Close`, the app gets the last messages first.
   */
  private handleLeave(number: number, reason: number | undefined, session: Session, handle: () => void): void {
    this.leaving.set(number, reason);
    this.turn.postpone(() => {
      // Otherwise the app has closed the session in between, or the trunk has ended.
      if (this.sessions.get(number) === session) this.host.guard(handle);
    });
  }

  private finishClose({ session: number, reason, description }: FrameBodies["Close"], session: Session): void {
    const now = this.sessions.get(number);
    // Undefined: the trunk has ended, and the session was notified.
    if (now === undefined) return;
    this.sessions.delete(number);
    // The app has closed the session in between: our `Close` is the answer.
    if (now === CLOSING) return;
    // The app is notified first: its `Persist` of a socket must be sent while the number is in use.
    this.host.guard(() => session.handleClose(reason, description));
    this.outbound.close(number, reason, "");
  }
}
