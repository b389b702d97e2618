// Ordinary requests from another origin: the answers to a handshake, a POST, a poll and a refused request have the same
// CORS headers.
export const table = {
  "no cors option": { cors: undefined },
  "any origin": { cors: { origin: "*" } },
  "one origin with credentials": { cors: { origin: "http://shop.test", credentials: true } },
  "list of origins, another asks": { cors: { origin: ["http://admin.test"] } },
  "exposed headers": { cors: { origin: true, exposedHeaders: ["x-seen"] } },
};
export const options = ({ cors }) => ({ cors });

const headers = { origin: "http://shop.test" };

export async function run(t) {
  const session = await t.polling({ headers });
  t.log("handshake", session.response);
  t.log("POST", await session.post("40", { ...headers, "content-type": "text/plain" }));
  t.log("GET", await session.get(headers));
  t.log("refused", await t.http("GET", t.url({ transport: "pigeon" }), { headers }));
  const ws = await t.websocket(t.url({ transport: "websocket" }), headers);
  t.log("websocket", ws.response);
}
