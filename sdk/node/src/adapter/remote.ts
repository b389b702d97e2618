/**
 * An adapter's operations on the sockets of other app servers, and its questions about them. Counts the operations that
 * are not confirmed yet.
 */
import type { Cluster } from "../cluster/cluster.js";
import { OwnType, type MessageData } from "../cluster/messages.js";
import { encodeOptions, socketOf } from "../cluster/rooms.js";
import { FORM_MAX } from "../data/pack.js";
import { MessageType, type AdapterBase, type BroadcastOptions, type FetchedSocket } from "../socketio/types.js";

/** The time limit for answers, the same as in socket.io-adapter. */
const ANSWER_MS = 5_000;
/**
 * The longest time for which an unconfirmed operation on sockets of other app servers keeps later broadcasts on the
 * operation's way.
 */
export const SETTLE_MS_MAX = 1_000;

/** The sockets of a namespace that other app servers have. */
export class Remote {
  private readonly adapter: AdapterBase;
  private readonly cluster: Cluster;
  private unsettled = 0;

  constructor(adapter: AdapterBase, cluster: Cluster) {
    this.adapter = adapter;
    this.cluster = cluster;
  }

  /** Whether all app servers have confirmed the operations on their sockets. */
  get isSettled(): boolean {
    return this.unsettled === 0;
  }

  /** Tells the other app servers to do something with their sockets. */
  operate(type: number, data: MessageData): void {
    const missing = this.cluster.peerIds();
    if (missing.length === 0) return;
    this.unsettled++;
    const settled = (): void => void this.unsettled--;
    this.cluster.ask(type, this.nsp, data, {
      missing,
      timeoutMs: SETTLE_MS_MAX,
      onAnswer: (_peer, answer) => answer.type === OwnType.done,
      onDone: settled,
      onTimeout: settled,
    });
  }

  /**
   * The sockets of all app servers.
   * @param own the sockets of this app server
   */
  fetchSockets(options: BroadcastOptions, own: Promise<FetchedSocket[]>): Promise<FetchedSocket[]> {
    const missing = options.flags?.local ? [] : this.cluster.peerIds();
    if (missing.length === 0) return own;
    return new Promise<FetchedSocket[]>((resolve, reject) => {
      const remote: FetchedSocket[] = [];
      this.cluster.ask(
        MessageType.FETCH_SOCKETS,
        this.nsp,
        { opts: encodeOptions(options), form: FORM_MAX },
        {
          missing,
          timeoutMs: options.flags?.timeout || ANSWER_MS,
          onAnswer: (_peer, { data }) => {
            for (const socket of data.sockets ?? []) remote.push(socketOf(socket));
            return true;
          },
          onDone: () => void own.then((sockets) => resolve([...sockets, ...remote]), reject),
          onTimeout: (count) => reject(new Error(`timeout reached: missing ${count} responses`)),
        },
      );
    });
  }

  serverSideEmit(packet: unknown[]): void {
    const last = packet[packet.length - 1];
    if (typeof last !== "function")
      return void this.cluster.publish(MessageType.SERVER_SIDE_EMIT, this.nsp, { packet });
    const done = last as (error: Error | null, answers: unknown[]) => void;
    const missing = this.cluster.peerIds();
    const answers: unknown[] = [];
    if (missing.length === 0) return queueMicrotask(() => done(null, answers));
    this.cluster.ask(
      MessageType.SERVER_SIDE_EMIT,
      this.nsp,
      { packet: packet.slice(0, -1) },
      {
        missing,
        timeoutMs: ANSWER_MS,
        onAnswer: (_peer, { data }) => {
          answers.push(data.packet);
          return true;
        },
        onDone: () => done(null, answers),
        onTimeout: (count) => done(new Error(`timeout reached: missing ${count} responses`), answers),
      },
    );
  }

  private get nsp(): string {
    return this.adapter.nsp.name;
  }
}
