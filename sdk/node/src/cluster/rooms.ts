/** Rooms in messages among app servers: as text, so that their types are kept (see `../data/keys.ts`). */
import type { BroadcastOptions, FetchedSocket } from "../socketio/types.js";
import { keyOf, textsOf } from "../data/keys.js";
import type { WireOptions } from "./messages.js";

/** The options of a broadcast as they are sent. */
export function encodeOptions({ rooms, except, flags }: BroadcastOptions): WireOptions {
  return { rooms: textsOf(rooms), except: textsOf(except), ...(flags !== undefined && { flags }) };
}

/** The options of a broadcast as they were received. */
export function decodeOptions(opts: WireOptions | undefined): BroadcastOptions {
  return { rooms: new Set(opts?.rooms.map(keyOf)), except: new Set(opts?.except.map(keyOf)), flags: opts?.flags ?? {} };
}

/** A socket that another app server has described. */
export function socketOf(socket: FetchedSocket): FetchedSocket {
  return { ...socket, id: keyOf(socket.id) as string, rooms: [...socket.rooms].map(keyOf) };
}
