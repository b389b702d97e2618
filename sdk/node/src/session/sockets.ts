/** The sockets of one session. There is nearly always only one, which is then stored without a list. */
import type { IoSocket } from "../socketio/types.js";

/** The sockets of a session: none, one, or a list. */
export type Sockets = IoSocket | readonly IoSocket[] | undefined;

/** The sockets as a list. */
export function listOf(sockets: Sockets): readonly IoSocket[] {
  if (sockets === undefined) return NONE;
  return isMany(sockets) ? sockets : [sockets];
}

/** The socket that was attached first. */
export function firstOf(sockets: Sockets): IoSocket | undefined {
  return sockets !== undefined && isMany(sockets) ? sockets[0] : sockets;
}

/** The number of sockets. */
export function countOf(sockets: Sockets): number {
  if (sockets === undefined) return 0;
  return isMany(sockets) ? sockets.length : 1;
}

/** The sockets with one more. */
export function withSocket(sockets: Sockets, added: IoSocket): Sockets {
  return sockets === undefined ? added : [...listOf(sockets), added];
}

/** The sockets without one of them; unchanged if it is not among them. */
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
