/**
 * The sockets of one session: nearly always one, which then stands for itself without a list around it.
 */
import type { IoSocket } from "../socketio/types.js";

export type Sockets = IoSocket | readonly IoSocket[] | undefined;

export function listOf(sockets: Sockets): readonly IoSocket[] {
  if (sockets === undefined) return NONE;
  return isMany(sockets) ? sockets : [sockets];
}

export function countOf(sockets: Sockets): number {
  if (sockets === undefined) return 0;
  return isMany(sockets) ? sockets.length : 1;
}

export function withSocket(sockets: Sockets, added: IoSocket): Sockets {
  return sockets === undefined ? added : [...listOf(sockets), added];
}

/** The same ones, when it is not among them. */
export function withoutSocket(sockets: Sockets, id: string, nsp: string): Sockets {
  const isIt = (socket: IoSocket): boolean => socket.id === id && socket.nsp.name === nsp;
  if (sockets === undefined || !isMany(sockets)) return sockets !== undefined && isIt(sockets) ? undefined : sockets;
  const rest = sockets.filter((socket) => !isIt(socket));
  if (rest.length === sockets.length) return sockets;
  return rest.length > 1 ? rest : rest[0];
}

const NONE: readonly IoSocket[] = [];

function isMany(sockets: IoSocket | readonly IoSocket[]): sockets is readonly IoSocket[] {
  return Array.isArray(sockets);
}
