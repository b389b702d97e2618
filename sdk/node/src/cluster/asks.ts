/**
 * Broadcasts that expect acknowledgements, on both sides: the asked sockets of this app server, and the sum over all
 * app servers.
 */
import { MessageType } from "../socketio/types.js";
import type { ClusterMessage } from "./messages.js";
import type { Question } from "./questions.js";

/** Receives the acknowledgements of asked clients. */
export interface AskListener {
  onAnswer(value: unknown): void;
  /** Called when a client left before it answered. */
  onLeft(): void;
}

interface OwnAsk {
  readonly missing: Set<string>;
  readonly listener: AskListener;
  readonly timer: NodeJS.Timeout;
}

/** The sockets of this app server that have not answered yet. */
export class OwnAsks {
  private readonly asks = new Map<number, OwnAsk>();
  private readonly forgetAck: (socket: string, id: number) => void;

  /** @param forgetAck removes what waits at a socket for an acknowledgement that is too late */
  constructor(forgetAck: (socket: string, id: number) => void) {
    this.forgetAck = forgetAck;
  }

  /** @param timeoutMs as in Socket.IO, without a time limit the operation is over at once */
  open(id: number, sockets: Iterable<string>, timeoutMs: number | undefined, listener: AskListener): void {
    const missing = new Set(sockets);
    if (missing.size === 0) return;
    const timer = setTimeout(() => {
      this.asks.delete(id);
      for (const socket of missing) this.forgetAck(socket, id);
    }, timeoutMs);
    this.asks.set(id, { missing, listener, timer });
  }

  answer(id: number, socket: string, value: unknown): void {
    if (this.remove(id, socket)) this.asks.get(id)?.listener.onAnswer(value);
    this.close(id);
  }

  leave(socket: string): void {
    for (const id of [...this.asks.keys()]) {
      if (this.remove(id, socket)) this.asks.get(id)?.listener.onLeft();
      this.close(id);
    }
  }

  private remove(id: number, socket: string): boolean {
    return this.asks.get(id)?.missing.delete(socket) ?? false;
  }

  private close(id: number): void {
    const ask = this.asks.get(id);
    if (ask === undefined || ask.missing.size > 0) return;
    clearTimeout(ask.timer);
    this.asks.delete(id);
  }
}

interface Share {
  expected: number | undefined;
  answered: number;
}

/**
 * One broadcast with acknowledgements over all app servers. Socket.IO adds up the counts of the app servers and
 * compares the sum with the answers. So the last count is held back until every asked client has answered or left; it
 * then makes the sum equal to the number of answers.
 */
export class AskSum implements Question {
  readonly missing: string[];
  readonly timeoutMs: number | undefined;
  private readonly shares = new Map<string, Share>();
  private readonly count: (clients: number) => void;
  private readonly answered: (value: unknown) => void;
  private answers = 0;

  /**
   * @param members ids of the asked app servers, including our own
   * @param serverCount how many counts Socket.IO waits for
   */
  constructor(
    members: string[],
    serverCount: number,
    timeoutMs: number | undefined,
    count: (clients: number) => void,
    answered: (value: unknown) => void,
  ) {
    this.missing = members;
    this.timeoutMs = timeoutMs;
    this.count = count;
    this.answered = answered;
    for (const member of members) this.shares.set(member, { expected: undefined, answered: 0 });
    for (let index = 1; index < serverCount; index++) count(0);
  }

  onAnswer(peer: string, { type, data }: ClusterMessage): boolean {
    if (type === MessageType.BROADCAST_ACK) return this.addAnswer(peer, data.packet);
    return (
      type === MessageType.BROADCAST_CLIENT_COUNT &&
      data.clientCount !== undefined &&
      this.setExpected(peer, data.clientCount)
    );
  }

  /** Adds an answer. Returns true when this app server will send nothing more. */
  addAnswer(member: string, value: unknown): boolean {
    const share = this.shares.get(member);
    if (share === undefined) return false;
    share.answered++;
    this.answers++;
    this.answered(value);
    return share.answered === share.expected;
  }

  /** Sets how many of an app server's clients were asked and have not left without an answer. */
  setExpected(member: string, clients: number): boolean {
    const share = this.shares.get(member);
    if (share === undefined) return false;
    share.expected = clients;
    return share.answered >= clients;
  }

  onDone(): void {
    this.count(this.answers);
  }

  onTimeout(): void {
    // Socket.IO's own timer reports the answers so far.
  }
}
