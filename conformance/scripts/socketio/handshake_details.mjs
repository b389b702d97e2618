// The app's information about a client: `socket.handshake`, `socket.request`, `socket.conn`.
export function app(io, log) {
  io.on("connection", (socket) => {
    const { handshake, request, conn } = socket;
    const { host, ...headers } = handshake.headers;
    log("headers", Object.fromEntries(Object.entries(headers).sort()));
    log("query", { ...handshake.query });
    log("url", handshake.url);
    log("auth", handshake.auth);
    log("plain", { secure: handshake.secure, xdomain: handshake.xdomain, keys: Object.keys(handshake).sort() });
    log("address", { address: handshake.address, conn: conn.remoteAddress, request: request.connection.remoteAddress });
    log("time", {
      issued: Math.abs(Date.now() - handshake.issued) < 60_000,
      time: Math.abs(new Date(handshake.time) - handshake.issued) < 2000,
    });
    log("request", {
      method: request.method,
      url: request.url,
      query: { ...request._query },
      version: request.httpVersion,
    });
    log("conn", {
      transport: conn.transport.name,
      protocol: conn.protocol,
      state: conn.readyState,
      writable: typeof conn.transport.writable,
    });
    log("socket", {
      connected: socket.connected,
      recovered: socket.recovered,
      rooms: socket.rooms.size,
      own: socket.rooms.has(socket.id),
    });
  });
}

const headers = { "x-custom": "one", cookie: "a=1; b=2", "user-agent": "wire/1.0", "accept-language": ["de", "en"] };
const query = { token: "a b&c=ü", empty: "", list: "1" };

export const table = {
  polling: (t) => t.polling({ headers, query }),
  websocket: (t) => t.direct({ headers: { ...headers, "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" }, query }),
  "from another origin": (t) =>
    t.direct({ headers: { origin: "http://shop.test", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" } }),
  "behind a proxy": (t) => t.polling({ headers: { "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https" } }),
};

export async function run(t, open) {
  const session = await open(t);
  if (session.post) await session.post('40{"token":"x"}');
  else session.text('40{"token":"x"}');
  await t.saw("socket");
}
