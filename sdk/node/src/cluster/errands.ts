/**
 * Operations and questions of other app servers about the sockets of this one: the receiving half of
 * socket.io-adapter's `ClusterAdapter`, built on the methods of the app's own `Adapter`. That class itself cannot be
 * used: no object of the app leads to it, and a bundle has no module from which to import it.
 */
import { MessageType, type AdapterBase, type FetchedSocket } from "../socketio/types.js";
import { keyOf, textOf, textsOf } from "../data/keys.js";
import { FORM_MAX } from "../data/pack.js";
import { Part } from "../data/limits.js";
import type { ClusterMessage, MessageData } from "./messages.js";
import { decodeOptions } from "./rooms.js";

/**
 * Sends an answer.
 * @param sharesParts whether the other app server has announced that it reads form 2
 */
type Answer = (type: number, data: MessageData, sharesParts?: boolean) => void;

/**
 * Carries out one message of another app server.
 * @param plain the prototype of the app's own `Adapter`: its methods only see the sockets of this process
 */
export function runErrand(
  adapter: AdapterBase,
  plain: AdapterBase,
  { type, data }: ClusterMessage,
  answer: Answer,
): void {
  const options = decodeOptions(data.opts);
  const rooms = (data.rooms ?? []).map(keyOf);
  const { requestId } = data;
  switch (type) {
    case MessageType.SOCKETS_JOIN:
      return plain.addSockets.call(adapter, options, rooms);
    case MessageType.SOCKETS_LEAVE:
      return plain.delSockets.call(adapter, options, rooms);
    case MessageType.DISCONNECT_SOCKETS:
      return plain.disconnectSockets.call(adapter, options, data.close === true);
    case MessageType.FETCH_SOCKETS:
      void plain.fetchSockets.call(adapter, options).then((sockets) => {
        const sharesParts = (data.form ?? 0) >= FORM_MAX;
        answer(MessageType.FETCH_SOCKETS_RESPONSE, { requestId, sockets: sockets.map(described) }, sharesParts);
      });
      return;
    case MessageType.SERVER_SIDE_EMIT:
      return emitHere(adapter, data, answer);
    default:
    // Other types are answers or our own messages, which the caller has handled.
  }
}

/**
 * The fields from which a `RemoteSocket` is made, with rooms as text. Without the session store, which may hold
 * anything, even itself.
 */
function described(socket: FetchedSocket): FetchedSocket {
  const { id, rooms, handshake, data } = socket as FetchedSocket & {
    handshake: Record<string, unknown>;
    data: unknown;
  };
  return {
    id: textOf(id),
    rooms: textsOf(rooms),
    // If one socket's data cannot be sent, the others must still be described.
    handshake: new Part(withoutStore(handshake), bareHandshake(handshake)),
    data: new Part(data, {}),
  } as unknown as FetchedSocket;
}

function withoutStore(handshake: Record<string, unknown>): Record<string, unknown> {
  if (!("sessionStore" in handshake)) return handshake;
  const { sessionStore: _omitted, ...rest } = handshake;
  return rest;
}

/** The fields of a handshake that are always short. */
function bareHandshake({ time, address, xdomain, secure, issued, url }: Record<string, unknown>): object {
  return { headers: {}, time, address, xdomain, secure, issued, url, query: {}, auth: {} };
}

function emitHere(adapter: AdapterBase, { packet, requestId }: MessageData, answer: Answer): void {
  const args = packet as unknown[];
  if (requestId === undefined) return adapter.nsp._onServerSideEmit(args);
  let isAnswered = false;
  adapter.nsp._onServerSideEmit([
    ...args,
    (value: unknown) => {
      if (isAnswered) return;
      isAnswered = true;
      answer(MessageType.SERVER_SIDE_EMIT_RESPONSE, { requestId, packet: new Part(value) });
    },
  ]);
}
