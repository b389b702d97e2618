import { once } from "node:events";
import { Server } from "socket.io";
import { useTrunkline } from "../../dist/esm/index.js";
import { FakeNode } from "./fake-node.js";

/** A Socket.IO server with one trunk to a fake node, up and welcomed; closed when the test ends. */
export async function startApp(t, { io: ioOptions = {}, node: nodeOptions = {}, prepare, options } = {}) {
  const node = await FakeNode.start(nodeOptions);
  const io = new Server(ioOptions);
  prepare?.(io);
  const trunkline = useTrunkline(io, { endpoint: node.endpoint, ...options });
  const warnings = [];
  trunkline.on("warning", (message) => warnings.push(message));
  t.after(async () => {
    await trunkline.close({ rehome: false });
    await node.stop();
  });
  await trunkline.open();
  return { io, node, trunkline, trunk: await node.trunk(), warnings };
}

/** Several app servers of one hub, each with a trunk to each of the nodes, all of which know one another. */
export async function startCluster(
  t,
  { apps: count = 2, nodes: nodeCount = 1, io: ioOptions = () => ({}), prepare } = {},
) {
  const nodes = [];
  for (let index = 0; index < nodeCount; index++)
    nodes.push(await FakeNode.start({ relays: true, welcome: { credit: 1 << 26 } }));
  const apps = [];
  const add = async () => {
    const io = new Server(ioOptions(apps.length));
    await prepare?.(io, apps.length);
    const trunkline = useTrunkline(io, { endpoint: nodes.map(({ endpoint }) => endpoint) });
    const app = { io, trunkline, warnings: [] };
    trunkline.on("warning", (message) => app.warnings.push(message));
    apps.push(app);
    app.trunks = await Promise.all(nodes.map((node) => node.trunk()));
    [app.trunk] = app.trunks;
    await Promise.all(apps.map((each) => haveServers(each.io, apps.length)));
    return app;
  };
  t.after(async () => {
    await Promise.all(apps.map(({ trunkline }) => trunkline.close({ rehome: false })));
    await Promise.all(nodes.map((node) => node.stop()));
  });
  for (let index = 0; index < count; index++) await add();
  return { apps, nodes, add };
}

/** Waits until an app server counts this many. */
export function haveServers(io, count) {
  return until(async () => (await io.of("/").adapter.serverCount()) === count);
}

/** Waits for a state. */
export async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
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
