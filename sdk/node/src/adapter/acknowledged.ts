/**
 * Broadcasts that expect acknowledgements. One frame asks all sockets of this app server; other app servers ask theirs.
 */
import { AskSum, OwnAsks, type AskListener } from "../cluster/asks.js";
import type { MessageData } from "../cluster/messages.js";
import { decodeOptions, encodeOptions } from "../cluster/rooms.js";
import { partOf } from "../session/parts.js";
import { MessageType, PacketType, type BroadcastOptions, type Packet } from "../socketio/types.js";
import { castOf } from "./cast.js";
import type { Delivery } from "./delivery.js";
import type { Remote } from "./remote.js";
import { decode, type Scope } from "./scope.js";

/** The broadcasts of one namespace that expect acknowledgements. */
export class Acknowledged {
  private readonly scope: Scope;
  private readonly remote: Remote;
  private readonly delivery: Delivery;
  private readonly asks = new OwnAsks((socket, id) => this.scope.adapter.nsp.sockets.get(socket)?.acks.delete(id));

  constructor(scope: Scope, remote: Remote, delivery: Delivery) {
    this.scope = scope;
    this.remote = remote;
    this.delivery = delivery;
  }

  broadcast(
    packet: Packet,
    options: BroadcastOptions,
    count: (clients: number) => void,
    answered: (value: unknown) => void,
  ): void {
    const { adapter, host } = this.scope;
    const { cluster } = host;
    const { timeout, local } = options.flags ?? {};
    const peers = local ? [] : cluster.peerIds();
    const sum = new AskSum([cluster.id, ...peers], cluster.serverCount, timeout, count, answered);
    const requestId = cluster.open(sum);
    const settle = (isDone: boolean): void => {
      if (isDone) cluster.settle(requestId, cluster.id);
    };
    if (peers.length > 0) {
      const parts = adapter.encoder.encode({ type: packet.type, nsp: adapter.nsp.name, data: packet.data }).map(partOf);
      const question = { requestId, parts, opts: encodeOptions(options) };
      if (!cluster.publish(MessageType.BROADCAST, adapter.nsp.name, question))
        for (const peer of peers) cluster.settle(requestId, peer);
      // The question is on its way to other app servers, and later broadcasts must not overtake it. A join of no rooms
      // changes nothing, and its confirmation means that everything before it has taken effect.
      this.remote.operate(MessageType.SOCKETS_JOIN, { opts: encodeOptions(options), rooms: [] });
    }
    let expected = 0;
    const { id, clients } = this.askOwn(packet.data, options, {
      onAnswer: (value) => settle(sum.addAnswer(cluster.id, value)),
      onLeft: () => settle(sum.setExpected(cluster.id, --expected)),
    });
    // Socket.IO removes the callbacks of this number when its own time limit is over.
    packet.id = id;
    packet.nsp = adapter.nsp.name;
    expected = clients;
    settle(sum.setExpected(cluster.id, expected));
  }

  /** Asks the sockets of this app server for another one. */
  handleAsk(asker: string, requestId: string, { parts = [], opts }: MessageData): void {
    const { adapter, host } = this.scope;
    const options = decodeOptions(opts);
    const packet = decode(this.scope, parts);
    const tell = (type: number, data: MessageData): void =>
      void host.cluster.publish(type, adapter.nsp.name, { ...data, requestId }, [asker]);
    if (packet === undefined) return tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount: 0 });
    let clientCount = 0;
    const { clients } = this.askOwn(packet.data, options, {
      onAnswer: (value) => tell(MessageType.BROADCAST_ACK, { packet: value }),
      onLeft: () => tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount: --clientCount }),
    });
    clientCount = clients;
    tell(MessageType.BROADCAST_CLIENT_COUNT, { clientCount });
  }

  /** Handles the end of a socket, which will not answer any longer. */
  leave(socket: string): void {
    this.asks.leave(socket);
  }

  /**
   * Asks the sockets of this app server: one frame for those behind Trunkline. Returns the packet's number and the
   * number of sockets asked.
   */
  private askOwn(data: unknown, options: BroadcastOptions, listener: AskListener): { id: number; clients: number } {
    const { adapter, plain, roster } = this.scope;
    const id = adapter.nsp._ids++;
    const packet: Packet = { type: PacketType.EVENT, nsp: adapter.nsp.name, data, id };
    const encoded = adapter.encoder.encode(packet);
    const cast = castOf(plain, options, encoded, () => packet);
    const asked: string[] = [];
    plain.apply.call(adapter, options, (socket) => {
      asked.push(socket.id);
      socket.acks.set(id, (value) => this.asks.answer(id, socket.id, value));
      socket.notifyOutgoingListeners?.(packet);
      this.delivery.write(socket, cast);
    });
    // A single client that has left gives no answer. As in Socket.IO, the caller who asked only this client gets the
    // error of the time limit.
    const onLeft = options.flags?.expectSingleResponse ? () => undefined : () => listener.onLeft();
    this.asks.open(id, asked, options.flags?.timeout, { onAnswer: (value) => listener.onAnswer(value), onLeft });
    if (asked.some((socket) => roster.attached.has(socket))) this.delivery.fanOutHere(options, encoded.map(partOf));
    return { id, clients: asked.length };
  }
}
