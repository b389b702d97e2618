/** `@trunkline/socket.io`: puts a Socket.IO server behind Trunkline. */
import type { SocketIoServer } from "./socketio/types.js";
import { resolveOptions, type TrunklineOptions } from "./options.js";
import { Trunkline } from "./trunkline.js";

export { TrunklineError, type TrunklineErrorCode } from "./trunk/errors.js";
export type { SocketIoServer } from "./socketio/types.js";
export { DEFAULT_ENDPOINT, DEFAULT_HUB, DEVELOPMENT_KEY, type TrunklineOptions } from "./options.js";
export type { TrunklineStats } from "./stats.js";
export { TokenError } from "./tokens.js";
export type { RefreshedToken, Revocation, Revoked, TokenClaims, Tokens } from "./tokens.js";
export type { Trunkline, TrunklineEvents } from "./trunkline.js";

const inUse = new WeakSet<SocketIoServer>();

/**
 * Puts a Socket.IO server behind Trunkline. Returns at once; what the app does before the first trunk is up takes
 * effect when it is.
 *
 * @example
 * const io = new Server(3000);
 * useTrunkline(io);
 *
 * @throws TypeError for an unknown or wrong option, and for a second call with the same server
 */
export function useTrunkline(io: SocketIoServer, options?: TrunklineOptions): Trunkline {
  const resolved = resolveOptions(options);
  if (inUse.has(io)) throw new TypeError("useTrunkline: this server is behind Trunkline already");
  const trunkline = new Trunkline(io, resolved);
  inUse.add(io);
  return trunkline;
}
