/**
 * Operations on sockets that belong to no app server (`spec/trunk.md`, section 12): the node carries them out, while it
 * has such sockets.
 */
import type { FrameBodies } from "./frames.js";
import type { Outbound } from "./outbound.js";

/** The content of an `Operate`. */
export type Operate = FrameBodies["Operate"];

/** The most bytes of a text's length. */
const LENGTH_BYTES = 5;

/**
 * Sends an operation, in its place among the other frames. Returns false when it is longer than half of a batch; then
 * nothing was sent.
 */
export function sendOperation(outbound: Outbound, operate: Operate): boolean {
  const { nsp, rooms, except, args } = operate;
  let bytes = Buffer.byteLength(nsp) + 8 * LENGTH_BYTES;
  for (const list of [rooms, except, args]) for (const text of list) bytes += Buffer.byteLength(text) + LENGTH_BYTES;
  if (bytes > outbound.relayBytesMax) return false;
  outbound.orderedFrame({ type: "Operate", ...operate });
  return true;
}
