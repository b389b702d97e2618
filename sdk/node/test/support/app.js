import { once } from "node:events";
import { Server } from "socket.io";
import { useTrunkline } from "../../dist/esm/index.js";
import { FakeNode } from "./fake-node.js";

/** A Socket.IO server with one trunk to a fake node, up and welcomed; closed when the test ends. */
export async function startApp(t, { io: ioOptions = {}, node: nodeOptions = {}, prepare } = {}) {
  const node = await FakeNode.start(nodeOptions);
  const io = new Server(ioOptions);
  prepare?.(io);
  const trunkline = useTrunkline(io, { endpoint: node.endpoint });
  const warnings = [];
  trunkline.on("warning", (message) => warnings.push(message));
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  await trunkline.ready;
  return { io, node, trunkline, trunk: await node.trunk(), warnings };
}

/** Opens a session, connects it to the main namespace, and returns its socket on the server beside its number. */
export async function connectClient(io, trunk, session, overrides) {
  const connected = once(io, "connection");
  await trunk.connect(session, overrides);
  const [socket] = await connected;
  return socket;
}

/** The types of frames, for a comparison that reads well. */
export function types(frames) {
  return frames.map((frame) => frame.type);
}

/** A promise with its handles outside. */
export function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((done, fail) => {
    resolve = done;
    reject = fail;
  });
  return { promise, resolve, reject };
}

/** Keeps what is written to one method of the console while the test runs. */
export function captureConsole(t, method) {
  const lines = [];
  t.mock.method(console, method, (...args) => lines.push(args.join(" ")));
  return lines;
}
