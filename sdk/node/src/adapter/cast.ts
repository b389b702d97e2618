/** A broadcast in the form that this app server's own sockets get, and its receivers. */
import type { SendOptions } from "../session/parts.js";
import { shareFrame } from "../socketio/internals.js";
import type { AdapterBase, BroadcastOptions, EncodedPart, Packet } from "../socketio/types.js";
import { BroadcastFlag } from "../trunk/frames.js";

/** One packet for many sockets of this app server. */
export interface Cast {
  readonly options: BroadcastOptions;
  readonly encoded: EncodedPart[];
  /** Undefined when the parser cannot read it. */
  packet(): Packet | undefined;
  /** The options that go along with `encoded`: made when the first socket needs them, and the same for all. */
  written(): SendOptions;
}

/** Makes the broadcast of a packet whose encoding is known. */
export function castOf(
  plain: AdapterBase,
  options: BroadcastOptions,
  encoded: EncodedPart[],
  packet: () => Packet | undefined,
): Cast {
  let written: SendOptions | undefined;
  return { options, encoded, packet, written: () => (written ??= writeOptions(plain, options, encoded)) };
}

/** The write options, as socket.io's adapter makes them. */
function writeOptions(plain: AdapterBase, { flags }: BroadcastOptions, encoded: EncodedPart[]): SendOptions {
  const options = { preEncoded: true, volatile: flags?.volatile, compress: flags?.compress };
  shareFrame(plain, encoded, options);
  return options as SendOptions;
}

/** The bits of `Broadcast.flags`. */
export function flagsOf({ flags }: BroadcastOptions): number {
  let bits = flags?.compress === false ? 0 : BroadcastFlag.compress;
  if (flags?.volatile) bits |= BroadcastFlag.volatile;
  if (flags?.local) bits |= BroadcastFlag.local;
  return bits;
}

/** Whether a broadcast is for a socket in these rooms. */
export function reaches({ rooms, except }: BroadcastOptions, own: Set<unknown> | undefined): boolean {
  if (own === undefined) return false;
  if (rooms.size > 0 && !intersect(rooms, own)) return false;
  return except === undefined || except.size === 0 || !intersect(except, own);
}

function intersect(some: Set<unknown>, others: Set<unknown>): boolean {
  for (const one of some) if (others.has(one)) return true;
  return false;
}
