/**
 * The state of one socket, from which another app server makes the same socket again (`spec/relay.md`, section 5).
 */
import { keyOf } from "../data/keys.js";
import { NotPlain } from "../data/not_plain.js";
import { pack, packFlat, unpack } from "../data/pack.js";
import { Unreadable } from "../data/unreadable.js";
import type { IoSocket } from "../socketio/types.js";
import type { Adopted } from "../trunk/frames.js";
import { digestOf, digestOfBytes } from "./digest.js";

/** The longest state. The node keeps one for each socket, in memory. */
export const SNAPSHOT_BYTES_MAX = 64 * 1024;
const SNAPSHOT_VALUES_MAX = 1 << 14;
const LIMITS = { bytesMax: SNAPSHOT_BYTES_MAX, valuesMax: SNAPSHOT_VALUES_MAX };

/** A socket that this app server adopts. */
export interface Guest {
  readonly nsp: string;
  readonly sid: string;
  readonly pid: string;
  readonly rooms: unknown[];
  /** The `auth` of its handshake. */
  readonly auth: Record<string, unknown>;
  readonly data: unknown;
  /** When the socket's handshake was made, in milliseconds. */
  readonly issued: number | undefined;
}

/**
 * The state of a socket as bytes, for immediate use.
 * @throws NotPlain, and nothing else, when a value cannot leave this process, or there is too much
 */
export function snapshotOf(socket: IoSocket): Buffer {
  try {
    const { data, handshake } = socket;
    const { auth, issued } = handshake;
    const state = { data, auth, issued };
    const flat = data === auth ? undefined : packFlat(state, SNAPSHOT_BYTES_MAX);
    return flat ?? pack(state, LIMITS, "");
  } catch (error) {
    throw error instanceof NotPlain ? error : new NotPlain(["data"], "cannot be read");
  }
}

/** A figure that differs when the state of the socket differs. @throws NotPlain, and nothing else */
export function snapshotDigest(socket: IoSocket, seed: number): number {
  let digest: number | undefined;
  try {
    digest = digestOf(socket.data, seed);
  } catch {
    // Reading runs the app's code: getters and proxies. What cannot be written either is reported there.
  }
  return digest ?? digestOfBytes(snapshotOf(socket), seed);
}

/** Reads the sockets of a session that is to be adopted. @throws Unreadable */
export function readGuests(sockets: readonly Adopted[]): Guest[] {
  return sockets.map(({ nsp, socket, pid, rooms, state }) => {
    const { data, auth, issued } = Object(unpack(state)) as { data?: unknown; auth?: unknown; issued?: unknown };
    if (typeof auth !== "object" || auth === null) throw new Unreadable("it has no `auth`");
    const sid = keyOf(socket) as string;
    return {
      nsp: keyOf(nsp) as string,
      sid,
      pid,
      rooms: [...new Set([sid, ...rooms.map(keyOf)])],
      auth: auth as Record<string, unknown>,
      data: data ?? {},
      issued: typeof issued === "number" ? issued : undefined,
    };
  });
}
