/**
 * Messages among the app servers of one hub, which nodes relay (`spec/trunk.md`, section 8, and `spec/relay.md`).
 */
import createDebug from "debug";
import { isAnswer, OwnType, readMessage, type ClusterMessage, type MessageData } from "./messages.js";
import { NotPlain, type LeftOut } from "../data/not_plain.js";
import { Unreadable } from "../data/unreadable.js";
import { Assembler, encodeMessage, toPayloads } from "./payload.js";
import { Peers, type Link } from "./peers.js";
import { Questions, type Question } from "./questions.js";

const debug = createDebug("trunkline:cluster");

/** One namespace of this app server. */
export interface Member {
  /** Whether this app server must receive the broadcasts of other app servers, too. */
  readonly isInterested: boolean;
  handleClusterMessage(message: ClusterMessage): void;
}

/** Whether an adapter is one of ours, which takes messages of other app servers. */
export function isMember(adapter: object): adapter is Member {
  return "handleClusterMessage" in adapter;
}

/** What a cluster reports to its owner. */
export interface ClusterHost {
  onWarning(message: string): void;
  /** Called when data of the app cannot leave this process. @param what the consequence for the message */
  onNotPlain(what: string, cause: LeftOut): void;
}

const NOBODY: ReadonlySet<string> = new Set();

/** This app server's place among the app servers of its hub. */
export class Cluster {
  /** The id of this app server. */
  readonly id: string;
  private readonly host: ClusterHost;
  private readonly peers: Peers;
  private readonly members = new Map<string, Member>();
  private readonly questions = new Questions();
  private readonly assemblers = new Map<string, Assembler>();
  /** The peers that must receive the broadcasts of each namespace. */
  private readonly interested = new Map<string, Set<string>>();
  /** Peers with an unreadable message that has been reported. */
  private readonly unread = new Set<string>();
  private lastMessage = 0;

  constructor(id: string, host: ClusterHost) {
    this.id = id;
    this.host = host;
    this.peers = new Peers(id);
  }

  /** The number of app servers of the hub, this one included. */
  get serverCount(): number {
    return this.peers.size + 1;
  }

  peerIds(): string[] {
    return this.peers.ids();
  }

  /** The peers that must receive the broadcasts of a namespace. */
  interestedIn(nsp: string): ReadonlySet<string> {
    return this.interested.get(nsp) ?? NOBODY;
  }

  register(nsp: string, member: Member): void {
    this.members.set(nsp, member);
  }

  /** Removes a member, unless the namespace was created again and has another one. */
  unregister(nsp: string, member: Member): void {
    if (this.members.get(nsp) === member) this.members.delete(nsp);
  }

  /**
   * Sends a message to some peers, or to all. Returns false when the message cannot be encoded, which is reported.
   * @param sharesParts whether these peers have announced that they read form 2
   */
  publish(
    type: number,
    nsp: string,
    data: MessageData,
    to: Iterable<string> = this.peers.ids(),
    sharesParts = false,
  ): boolean {
    const routes = this.peers.routes(to);
    if (routes.size === 0) return true;
    const message = this.encode(type, nsp, data, sharesParts);
    if (message === undefined) return false;
    debug("message of type %d, %d bytes, over %d trunks", type, message.length, routes.size);
    const number = ++this.lastMessage;
    for (const [link, peers] of routes) {
      for (const payload of toPayloads(message, link.relayBytesMax, number)) link.relay(peers, payload);
    }
    return true;
  }

  /** Keeps a question until it is answered. Returns the id that answers carry. */
  open(question: Question): string {
    return this.questions.open(question);
  }

  /** Sends a question to all peers. At least one answer must be missing. */
  ask(type: number, nsp: string, data: MessageData, question: Question): void {
    const requestId = this.open(question);
    // A question that was not sent gets no answers.
    if (!this.publish(type, nsp, { ...data, requestId })) setImmediate(() => this.questions.giveUp(requestId));
  }

  /** Notes that a peer, or this app server, has answered completely or will not answer. */
  settle(requestId: string, who: string): void {
    this.questions.settle(requestId, who);
  }

  /** Notifies all peers whether this app server must receive their broadcasts in a namespace. */
  tellInterest(nsp: string, on: boolean): void {
    this.publish(OwnType.interest, nsp, { on });
  }

  handlePeers(link: Link, servers: string[]): void {
    const { joined, left } = this.peers.update(link, servers);
    if (joined.length + left.length > 0)
      debug("peers: %d joined, %d left, %d now", joined.length, left.length, this.peers.size);
    for (const peer of left) this.forget(peer);
    if (joined.length === 0) return;
    for (const [nsp, member] of this.members) {
      if (member.isInterested) this.publish(OwnType.interest, nsp, { on: true }, joined);
    }
  }

  handleRelayed(from: string, payload: Buffer): void {
    const message = this.read(from, payload);
    if (message === undefined) return;
    if (message.type === OwnType.interest) return this.handleInterest(message);
    if (isAnswer(message)) return this.handleAnswer(message);
    const member = this.members.get(message.nsp);
    if (member !== undefined) return member.handleClusterMessage(message);
    const { requestId } = message.data;
    if (requestId !== undefined) this.publish(OwnType.absent, message.nsp, { requestId }, [from]);
  }

  private encode(type: number, nsp: string, data: MessageData, sharesParts: boolean): Buffer | undefined {
    const onLeftOut = (left: LeftOut): void => this.host.onNotPlain("left out of a message to other app servers", left);
    const attempt = (data: MessageData, what: string, withoutParts: boolean): Buffer | undefined => {
      try {
        return encodeMessage(type, nsp, data, onLeftOut, { sharesParts, withoutParts });
      } catch (error) {
        if (!(error instanceof NotPlain)) throw error;
        this.host.onNotPlain(what, error);
        return undefined;
      }
    };
    const unsent = "a message to other app servers was not sent";
    if (!isAnswer({ type })) return attempt(data, unsent, false);
    // A peer waits for the answer: an incomplete one is better than none.
    return (
      attempt(data, "an answer to another app server was sent without the app's data", false) ??
      attempt(data, "an answer to another app server was sent empty", true) ??
      attempt({ ...data, ...(data.sockets && { sockets: [] }) }, unsent, true)
    );
  }

  private read(from: string, payload: Buffer): ClusterMessage | undefined {
    let assembler = this.assemblers.get(from);
    if (assembler === undefined) this.assemblers.set(from, (assembler = new Assembler()));
    try {
      const value = assembler.add(payload);
      if (value === undefined) return undefined;
      const message = readMessage(value, from);
      if (message === undefined) throw new Unreadable("it is no message that this version knows");
      return message;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      debug("ignored a message of %s: %s", from, error.message);
      // One warning for each app server: a release that we do not know may send many messages that we do not know.
      if (!this.unread.has(from))
        this.host.onWarning(`a message of another app server (${from}) was ignored: ${error.message}`);
      this.unread.add(from);
      return undefined;
    }
  }

  private handleInterest({ nsp, uid, data }: ClusterMessage): void {
    const peers = this.interested.get(nsp) ?? new Set();
    if (data.on) this.interested.set(nsp, peers.add(uid));
    else if (peers.delete(uid) && peers.size === 0) this.interested.delete(nsp);
  }

  private handleAnswer(message: ClusterMessage): void {
    const { uid, data } = message;
    if (data.requestId === undefined) return;
    if (message.type === OwnType.absent) this.questions.settle(data.requestId, uid);
    else this.questions.answer(data.requestId, uid, message);
  }

  private forget(peer: string): void {
    this.assemblers.delete(peer);
    this.unread.delete(peer);
    for (const [nsp, peers] of [...this.interested]) {
      if (peers.delete(peer) && peers.size === 0) this.interested.delete(nsp);
    }
    this.questions.forget(peer);
  }
}
