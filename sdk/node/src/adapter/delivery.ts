/**
 * Delivers broadcasts: one frame to each node, for any number of receivers; a message to each app server that must
 * receive the broadcast, too; in this process, only direct clients and sockets with listeners for outgoing packets.
 */
import { encodeOptions, decodeOptions } from "../cluster/rooms.js";
import type { MessageData } from "../cluster/messages.js";
import { textsOf } from "../data/keys.js";
import { isRecorded } from "../recovery/recovery.js";
import type { Conn } from "../session/conn.js";
import { partOf, type SendOptions } from "../session/parts.js";
import { MessageType, type BroadcastOptions, type EncodedPart, type IoSocket, type Packet } from "../socketio/types.js";
import type { PartData } from "../trunk/outbound_types.js";
import { castOf, flagsOf, type Cast } from "./cast.js";
import type { Remote } from "./remote.js";
import { decode, matches, type Scope } from "./scope.js";

/** The part of a namespace's adapter that delivers broadcasts. */
export class Delivery {
  private readonly scope: Scope;
  private readonly remote: Remote;

  constructor(scope: Scope, remote: Remote) {
    this.scope = scope;
    this.remote = remote;
  }

  broadcast(packet: Packet, options: BroadcastOptions): void {
    const { adapter, plain, host } = this.scope;
    packet.nsp = adapter.nsp.name;
    const offset = host.recovery !== undefined && isRecorded(packet, options) ? host.recovery.nextOffset() : undefined;
    if (offset !== undefined) (packet.data as unknown[]).push(offset);
    const encoded = adapter.encoder.encode(packet);
    const parts = encoded.map(partOf);
    const cast = castOf(plain, options, encoded, () => packet);
    this.notifyOutgoing(cast);
    if (options.flags?.local) this.fanOut(options, parts, offset);
    // A recorded packet must take one path to the sockets of all app servers: the log has one order for all of them.
    else if (this.remote.isSettled || offset !== undefined) this.broadcastToAll(options, parts, offset);
    else this.broadcastInOrder(options, parts);
    this.noteReceiver(options, encoded, parts);
    this.deliverDirect(cast, offset);
  }

  /** Handles another app server's broadcast. */
  handleBroadcast({ parts = [], opts, offset, everybody }: MessageData): void {
    const options = decodeOptions(opts);
    let packet: Packet | undefined;
    const cast = castOf(this.scope.plain, options, parts, () => (packet ??= decode(this.scope, parts)));
    this.notifyOutgoing(cast);
    if (everybody) this.fanOutHere(options, parts);
    this.deliverDirect(cast, offset);
  }

  /** Sends one frame to each node, for the sockets of this app server only. */
  fanOutHere(options: BroadcastOptions, parts: PartData[]): void {
    this.fanOut({ ...options, flags: { ...options.flags, local: true } }, parts, undefined);
  }

  /**
   * Writes to the connection of a direct client. Clients behind Trunkline get the packet from the node; here only their
   * listeners get it.
   */
  write(socket: IoSocket, cast: Cast): void {
    const { attached, direct } = this.scope.roster;
    const conn = attached.get(socket.id);
    if (conn?.watchesPackets) conn.reportWritten(cast.encoded, cast.written());
    else if (conn === undefined && direct.has(socket.id)) socket.client.writeToEngine(cast.encoded, cast.written());
  }

  /**
   * Counts a broadcast to the room of one socket alone as sent on that socket's connection, for an app that reads
   * `writeBuffer`: with recovery, `socket.emit` is such a broadcast.
   */
  private noteReceiver(options: BroadcastOptions, encoded: EncodedPart[], parts: PartData[]): void {
    const conn = this.onlyReceiver(options);
    if (conn === undefined) return;
    const { flags } = options;
    const written: SendOptions = { volatile: flags?.volatile === true, compress: flags?.compress !== false };
    for (const [index, part] of parts.entries()) conn.noteSent(encoded[index], part, written);
  }

  /** The connection of the socket that alone gets a broadcast to its own room, if it is one of ours. */
  private onlyReceiver({ rooms, except }: BroadcastOptions): Conn | undefined {
    if (rooms.size !== 1 || (except !== undefined && except.size > 0)) return undefined;
    const [room] = rooms;
    return typeof room === "string" ? this.scope.roster.attached.get(room) : undefined;
  }

  /** Sends one frame to each node, and a message to each app server that must receive broadcasts. */
  private broadcastToAll(options: BroadcastOptions, parts: PartData[], offset: string | undefined): void {
    const { adapter, host } = this.scope;
    this.fanOut(options, parts, offset);
    const interested = host.cluster.interestedIn(adapter.nsp.name);
    if (interested.size === 0) return;
    host.cluster.publish(
      MessageType.BROADCAST,
      adapter.nsp.name,
      { parts, opts: encodeOptions(options), offset },
      interested,
    );
  }

  /**
   * Broadcasts while an operation is still on its way to other app servers. The broadcast to their sockets takes the
   * same path, so that it finds the rooms as the app left them.
   */
  private broadcastInOrder(options: BroadcastOptions, parts: PartData[]): void {
    this.remote.operate(MessageType.BROADCAST, { parts, opts: encodeOptions(options), everybody: true });
    this.fanOutHere(options, parts);
  }

  private fanOut(options: BroadcastOptions, parts: PartData[], offset: string | undefined): void {
    const { adapter, host } = this.scope;
    const { rooms, except } = options;
    host.broadcast({
      nsp: adapter.nsp.name,
      flags: flagsOf(options),
      offset,
      rooms: textsOf(rooms),
      except: textsOf(except),
      parts,
      isOwn: this.onlyReceiver(options) !== undefined,
    });
  }

  private notifyOutgoing(cast: Cast): void {
    for (const socket of this.scope.roster.outgoing.values()) {
      if (!matches(this.scope, socket.id, cast.options)) continue;
      const seen = cast.packet();
      if (seen !== undefined) socket.notifyOutgoingListeners?.(seen);
      this.write(socket, cast);
    }
  }

  private deliverDirect(cast: Cast, offset: string | undefined): void {
    const { direct, log } = this.scope.roster;
    if (direct.size === 0 && log?.isInUse !== true) return;
    if (offset !== undefined) log?.record(offset, cast.options, cast.packet()?.data);
    for (const [id, socket] of direct) {
      if (!matches(this.scope, id, cast.options)) continue;
      const seen = socket.listenersAnyOutgoing().length > 0 ? cast.packet() : undefined;
      if (seen !== undefined) socket.notifyOutgoingListeners?.(seen);
      this.write(socket, cast);
    }
  }
}
