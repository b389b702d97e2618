/**
 * An adapter's operations on the sockets of other app servers, and its questions about them. Counts the operations that
 * are not confirmed yet.
 */
import type { Cluster } from "../cluster/cluster.js";
import { OwnType, type ClusterMessage, type MessageData } from "../cluster/messages.js";
import { encodeOptions, socketOf } from "../cluster/rooms.js";
import { textOf, textsOf } from "../data/keys.js";
import { FORM_MAX } from "../data/pack.js";
import { MessageType, type AdapterBase, type BroadcastOptions, type FetchedSocket } from "../socketio/types.js";
import { Operation } from "../trunk/frames.js";
import type { Operate } from "../trunk/operate.js";
import type { AdapterHost } from "./scope.js";

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
  private readonly host: AdapterHost;
  private readonly cluster: Cluster;
  private unsettled = 0;

  constructor(adapter: AdapterBase, host: AdapterHost) {
    this.adapter = adapter;
    this.host = host;
    this.cluster = host.cluster;
  }

  /** Whether all app servers have confirmed the operations on their sockets. */
  get isSettled(): boolean {
    return this.unsettled === 0;
  }

  join(options: BroadcastOptions, rooms: string[]): void {
    this.change(Operation.join, options, rooms, MessageType.SOCKETS_JOIN, { rooms });
  }

  leave(options: BroadcastOptions, rooms: string[]): void {
    this.change(Operation.leave, options, rooms, MessageType.SOCKETS_LEAVE, { rooms });
  }

  disconnect(options: BroadcastOptions, close: boolean): void {
    const op = close ? Operation.close : Operation.disconnect;
    this.change(op, options, [], MessageType.DISCONNECT_SOCKETS, { close });
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

  /** Does something with all sockets that are not ours: those of other app servers, and those that none has now. */
  private change(op: number, options: BroadcastOptions, args: string[], type: number, data: MessageData): void {
    if (options.flags?.local) return;
    this.operate(type, { opts: encodeOptions(options), ...data });
    const rooms = textsOf(options.rooms);
    this.host.operate({ nsp: textOf(this.nsp), op, rooms, except: textsOf(options.except), args });
  }

  private get nsp(): string {
    return this.adapter.nsp.name;
  }
}

const OPERATIONS: ReadonlyMap<number, number> = new Map([
  [MessageType.SOCKETS_JOIN, Operation.join],
  [MessageType.SOCKETS_LEAVE, Operation.leave],
  [MessageType.DISCONNECT_SOCKETS, Operation.disconnect],
]);

/** The operation on sockets in a message of another app server; undefined if there is none. */
export function operateOf({ type, nsp, data }: ClusterMessage): Operate | undefined {
  const op = OPERATIONS.get(type);
  if (op === undefined || data.rooms?.length === 0) return undefined;
  return {
    nsp: textOf(nsp),
    op: data.close ? Operation.close : op,
    // Messages have them as text already.
    rooms: (data.opts?.rooms ?? []) as string[],
    except: (data.opts?.except ?? []) as string[],
    args: (data.rooms ?? []) as string[],
  };
}
