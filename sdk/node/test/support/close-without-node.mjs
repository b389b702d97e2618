// An app server beside a node that is down in one of several ways. It closes, and says what still keeps the process
// alive.
import { createServer } from "node:http";
import { once } from "node:events";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";
import { useTrunkline } from "../../dist/esm/index.js";

const [mode] = process.argv.slice(2);
const enough = mode === "reset" || mode === "refuse" ? 3 : 1;
let attempts = 0;
let reached;
const done = new Promise((resolve) => (reached = resolve));
const streams = new Set();

const node = createServer();
const server = new WebSocketServer({ noServer: true });
node.on("upgrade", (request, stream, head) => {
  streams.add(stream);
  stream.on("error", () => undefined);
  attempts++;
  if (mode === "reset") stream.destroy();
  else if (mode === "refuse") stream.end("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  else if (mode === "silent") server.handleUpgrade(request, stream, head, (socket) => socket.once("message", reached));
  if (mode !== "silent" && attempts === enough) reached();
});
node.listen(0, "127.0.0.1");
await once(node, "listening");

const io = new Server();
const trunkline = useTrunkline(io, { endpoint: `http://127.0.0.1:${node.address().port}` });
trunkline.on("warning", () => undefined);
await done;
// The last attempt has failed when this server's stream is closed, or it is still under way: both are states to close
// in.
await io.close();
for (const stream of streams) stream.destroy();
node.close();
node.closeAllConnections();
await once(node, "close");
await new Promise(setImmediate);
await new Promise(setImmediate);
const KEEPERS = ["Timeout", "TCPSocketWrap", "TCPConnectWrap", "GetAddrInfoReqWrap"];
const left = process.getActiveResourcesInfo().filter((name) => KEEPERS.includes(name));
process.stdout.write(JSON.stringify({ attempts, left }), () => process.exit());
