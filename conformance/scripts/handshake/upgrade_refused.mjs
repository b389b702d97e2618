// WebSocket handshakes that are not answered with 101.
const websocket = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};
const q = (query) => "/socket.io/?" + query;
const good = q("EIO=4&transport=websocket");

export const table = {
  "unknown sid": { path: q("EIO=4&transport=websocket&sid=nobody") },
  "no transport": { path: q("EIO=4") },
  "unknown transport": { path: q("EIO=4&transport=pigeon") },
  "EIO 3 without allowEIO3": { path: q("EIO=3&transport=websocket"), opens: "but not for long" },
  "no EIO": { path: q("transport=websocket"), opens: "but not for long" },
  POST: { method: "POST", path: good },
  "version 12": { path: good, headers: { "sec-websocket-version": "12" } },
  "no version": { path: good, headers: { "sec-websocket-version": undefined } },
  "no key": { path: good, headers: { "sec-websocket-key": undefined } },
  "short key": { path: good, headers: { "sec-websocket-key": "AAAA" } },
  "other protocol to upgrade to": { path: good, headers: { upgrade: "h2c" } },
};

export async function run(t, { method = "GET", path, headers, opens }) {
  const stream = await t.stream();
  t.log("answer", await stream.request(method, path, { headers: { ...websocket, ...headers } }));
  t.log("stream", await stream.end);
  if (opens) t.log("bytes", stream.received.toString("latin1").replace(/[^\x20-\x7e]/g, "."));
}
