/**
 * What another app server asks this one to do with its own sockets: the receiving half of socket.io-adapter's
 * `ClusterAdapter`, on the methods of the app's own `Adapter`. Written here because no object of the app leads to that
 * class, and a bundle has no module to look it up in.
 */
import { MessageType, type AdapterBase, type FetchedSocket } from "../socketio/types.js";
import { keyOf, textOf, textsOf } from "../data/keys.js";
import { FORM_MAX } from "../data/pack.js";
import { Part } from "../data/plain.js";
import type { ClusterMessage, MessageData } from "./messages.js";
import { decodeOptions } from "./rooms.js";

/** @param sharesParts whether the other one has said that it reads form 2 */
type Answer = (type: number, data: MessageData, sharesParts?: boolean) => void;

/** @param plain the prototype of the app's own `Adapter`: its methods look at the sockets of this process only */
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
    // The rest are answers, and messages of our own: whoever calls this has taken them out.
  }
}

/** What `RemoteSocket` is made of, rooms as text. A session store may hold anything, itself included. */
function described(socket: FetchedSocket): FetchedSocket {
  const { id, rooms, handshake, data } = socket as FetchedSocket & {
    handshake: Record<string, unknown>;
    data: unknown;
  };
  return {
    id: textOf(id),
    rooms: textsOf(rooms),
    // What one socket has must not keep the others from being told of.
    handshake: new Part(withoutStore(handshake), bareHandshake(handshake)),
    data: new Part(data, {}),
  } as unknown as FetchedSocket;
}

function withoutStore(handshake: Record<string, unknown>): Record<string, unknown> {
  if (!("sessionStore" in handshake)) return handshake;
  const { sessionStore: _omitted, ...rest } = handshake;
  return rest;
}

/** What is always short. */
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
