/** Sessions that change their app server, with a fake node in the middle. */
import { once } from "node:events";
import { pack } from "../../dist/esm/data/pack.js";
import { openFrame } from "./fake-node.js";

/** `Welcome.info` of a node that gives sessions to other app servers. */
export const HOMES = {
  welcome: {
    info: JSON.stringify({
      node: "n1",
      version: "0.0.0",
      warnings: [],
      frames: ["Number", "Reattach", "Prove", "GiveBack", "Beside", "Choose", "Handled", "State", "Standing", "Got"],
    }),
  },
};

/** The options of an app whose clients go to other app servers. */
export const REHOMES = { io: { connectionStateRecovery: {} }, node: HOMES };

/** The state of a socket as an app server tells it. */
export function stateOf({ auth = {}, data = {}, issued = 1_700_000_000_000 } = {}) {
  return pack({ data, auth, issued }, { bytesMax: 1 << 16 }, "");
}

/** One socket in an `Adopt`. */
export function guest(overrides = {}) {
  const { auth, data, issued, ...frame } = overrides;
  return { nsp: "/", socket: "sock-1", pid: "pid-1", rooms: [], state: stateOf({ auth, data, issued }), ...frame };
}

/**
 * The frame with which a node gives a session of another app server.
 * @param overrides.first the transport of its handshake
 */
export function adoptFrame(session, { transport = 2, first = transport, origin = 1, sockets, ...request } = {}) {
  const { eio, sid, request: asked } = openFrame(session, { transport: first, ...request });
  return { type: "Adopt", session, eio, sid, transport, origin, request: asked, sockets: sockets ?? [guest()] };
}

/** Gives a session of another app server and returns its socket in the main namespace. */
export async function adoptClient(io, trunk, session, overrides) {
  const connected = once(io, "connection");
  trunk.send(adoptFrame(session, overrides));
  const [socket] = await connected;
  return socket;
}
