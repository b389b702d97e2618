/**
 * Operations on the sockets of all app servers, for a socket that was on its way here when they were called: the node
 * passes on what it had to leave to us, and what came here too early for the socket is repeated.
 */
import { keyOf } from "../data/keys.js";
import type { IoNamespace, IoSocket } from "../socketio/types.js";
import { Operation } from "../trunk/frames.js";
import type { Operate } from "../trunk/operate.js";

/** Operations count for this long, and so many are kept: an adoption takes a moment. */
const KEPT_MS = 5_000;
const KEPT_MAX = 4_096;

/** What was lately called for the sockets of all app servers, here and elsewhere, in order. */
export class Lately {
  private operations: { readonly at: number; readonly operate: Operate }[] = [];

  note(operate: Operate): void {
    const { operations } = this;
    operations.push({ at: performance.now(), operate });
    // Not each time, because that moves all others.
    if (operations.length >= 2 * KEPT_MAX) operations.splice(0, operations.length - KEPT_MAX);
  }

  /** Does to sockets that have just come here what was called since the node offered them. */
  repeat(sockets: readonly IoSocket[], since: number): void {
    for (const operate of this.since(since))
      for (const socket of sockets) if (isMeant(socket, operate)) act(socket, operate);
  }

  private since(since: number): Operate[] {
    const { operations } = this;
    const from = Math.max(since, performance.now() - KEPT_MS);
    let first = operations.length;
    while (first > 0 && (operations[first - 1]?.at ?? 0) >= from) first--;
    return operations.slice(first).map(({ operate }) => operate);
  }

  /**
   * Does to sockets of ours what the node passes on. It may have been called before what was done here already, so that
   * is done again where it is about the same rooms.
   */
  carryOut(nsp: IoNamespace, operate: Operate): void {
    for (const id of operate.rooms) {
      const socket = nsp.sockets.get(keyOf(id) as string);
      if (socket === undefined) continue;
      act(socket, operate);
      if (operate.args.length === 0) continue;
      const isAboutTheSame = ({ args }: Operate): boolean => args.some((room) => operate.args.includes(room));
      for (const later of this.since(0)) if (isAboutTheSame(later) && isMeant(socket, later)) act(socket, later);
    }
  }
}

function isMeant({ id, nsp }: IoSocket, { nsp: name, rooms, except }: Operate): boolean {
  if (nsp.name !== keyOf(name)) return false;
  const own = nsp.adapter.sids.get(id);
  const isIn = (room: string): boolean => own?.has(keyOf(room)) === true;
  return own !== undefined && (rooms.length === 0 || rooms.some(isIn)) && !except.some(isIn);
}

function act(socket: IoSocket, { op, args }: Operate): void {
  const { id, nsp } = socket;
  if (op === Operation.join) nsp.adapter.addAll(id, new Set(args.map(keyOf)));
  else if (op === Operation.leave) for (const room of args) nsp.adapter.del(id, keyOf(room));
  else socket.disconnect(op === Operation.close);
}
