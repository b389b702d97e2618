// Requests that open no session: status and body for the client, code and context for the app's connection_error.
const q = (query) => "/socket.io/?" + query;

export const table = {
  "no transport": { path: q("EIO=4") },
  "empty transport": { path: q("EIO=4&transport=") },
  "unknown transport": { path: q("EIO=4&transport=carrier-pigeon") },
  "transport named like an object property": { path: q("EIO=4&transport=constructor") },
  "transport in capitals": { path: q("EIO=4&transport=POLLING") },
  "transport given twice, the last counts": { path: q("EIO=4&transport=polling&transport=pigeon") },
  "webtransport over HTTP": { path: q("EIO=4&transport=webtransport") },
  "no EIO": { path: q("transport=polling") },
  "EIO 3 without allowEIO3": { path: q("EIO=3&transport=polling") },
  "EIO 2": { path: q("EIO=2&transport=polling") },
  "EIO 5": { path: q("EIO=5&transport=polling") },
  "EIO not a number": { path: q("EIO=four&transport=polling") },
  "EIO 04": { path: q("EIO=04&transport=polling") },
  "handshake by POST": { method: "POST", body: "40", path: q("EIO=4&transport=polling") },
  "handshake by PUT": { method: "PUT", body: "x", path: q("EIO=4&transport=polling") },
  "handshake by DELETE": { method: "DELETE", path: q("EIO=4&transport=polling") },
  "handshake by HEAD": { method: "HEAD", path: q("EIO=4&transport=polling") },
  "handshake by OPTIONS without cors": { method: "OPTIONS", path: q("EIO=4&transport=polling") },
  "websocket without an upgrade": { path: q("EIO=4&transport=websocket") },
  "unknown sid, GET": { path: q("EIO=4&transport=polling&sid=nobody") },
  "unknown sid, POST": { method: "POST", body: "40", path: q("EIO=4&transport=polling&sid=nobody") },
  "unknown sid, websocket without an upgrade": { path: q("EIO=4&transport=websocket&sid=nobody") },
  "sid named like an object property": { path: q("EIO=4&transport=polling&sid=__proto__") },
  "unknown transport and unknown sid": { path: q("EIO=4&transport=pigeon&sid=nobody") },
  "no query at all": { path: "/socket.io/" },
  "broken percent sign in the query": { path: q("EIO=4&transport=%zz") },
};

export async function run(t, { method = "GET", path, body }) {
  t.log(method, await t.http(method, path, { body }));
  if (method !== "GET") t.log("and after it", await t.http("GET", t.url({ transport: "pigeon" })));
}
