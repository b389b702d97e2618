// The first request of a session, over each transport: status, headers, the open packet and the order of its keys.
export const table = {
  polling: { get: {} },
  "polling with cache-buster": { get: { t: "abc123" } },
  websocket: { ws: {} },
  "unknown query keys": { get: { token: "ä b&c", flag: "" } },
  "no upgrades allowed": { get: {}, options: { allowUpgrades: false } },
  "own timers and limit": { get: {}, options: { pingInterval: 1234, pingTimeout: 567, maxHttpBufferSize: 4321 } },
  "only polling": { get: {}, options: { transports: ["polling"] } },
  "only websocket": { ws: {}, options: { transports: ["websocket"] } },
  "websocket with a subprotocol": { ws: {}, headers: { "sec-websocket-protocol": "chat, other" } },
  "websocket with an extension": {
    ws: {},
    headers: { "sec-websocket-extensions": "permessage-deflate; client_max_window_bits" },
  },
  "websocket refused when only polling": { ws: {}, options: { transports: ["polling"] }, gone: true },
  "polling refused when only websocket": { get: {}, options: { transports: ["websocket"] } },
  "other path": { get: {}, path: "/chat/", options: { path: "/chat" } },
  "other path, websocket": { ws: {}, path: "/chat/", options: { path: "/chat" } },
  "path is a prefix": { get: {}, path: "/socket.io/more/of/it" },
  "no trailing slash": { get: {}, path: "/socket.io", options: { addTrailingSlash: false } },
  "empty sid is no sid": { get: { sid: "" } },
};

export const options = (row) => row.options;

export async function run(t, { get, ws, path, headers, gone }) {
  if (get) return t.log("GET", await t.http("GET", t.url(get, path)));
  const socket = await t.websocket(t.url({ transport: "websocket", ...ws }, path), headers);
  t.log("upgrade", socket.response);
  if (!gone && socket.response?.status === 101) t.log("first", await socket.next());
}
