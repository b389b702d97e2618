/** Rooms in what app servers tell one another: as text, so that each type survives the way (see `../data/keys.ts`). */
import type { BroadcastOptions, FetchedSocket } from "../socketio/types.js";
import { keyOf, textsOf } from "../data/keys.js";
import type { WireOptions } from "./messages.js";

export function encodeOptions({ rooms, except, flags }: BroadcastOptions): WireOptions {
  return { rooms: textsOf(rooms), except: textsOf(except), ...(flags !== undefined && { flags }) };
}

export function decodeOptions(opts: WireOptions | undefined): BroadcastOptions {
  return { rooms: new Set(opts?.rooms.map(keyOf)), except: new Set(opts?.except.map(keyOf)), flags: opts?.flags ?? {} };
}

/** A socket that another app server told of. */
export function socketOf(socket: FetchedSocket): FetchedSocket {
  return { ...socket, id: keyOf(socket.id) as string, rooms: [...socket.rooms].map(keyOf) };
}
