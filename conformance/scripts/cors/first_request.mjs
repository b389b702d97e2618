// A preflight may be the very first request that a server ever sees.
export const options = { cors: { origin: "http://shop.test", methods: ["GET", "POST"] } };

export async function run(t) {
  const headers = { origin: "http://shop.test", "access-control-request-method": "GET" };
  t.log("OPTIONS", await t.http("OPTIONS", t.url(), { headers }));
  t.log("handshake", await t.http("GET", t.url(), { headers: { origin: "http://shop.test" } }));
}
