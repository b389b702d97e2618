// The OPTIONS request of a browser, per form of the `cors` option.
const asks = {
  origin: "http://shop.test",
  "access-control-request-method": "POST",
  "access-control-request-headers": "content-type, x-own",
};

export const table = {
  "no cors option": { cors: undefined },
  "any origin": { cors: { origin: "*" } },
  "one origin": { cors: { origin: "http://shop.test" } },
  "one origin, another asks": { cors: { origin: "http://shop.test" }, headers: { origin: "http://evil.test" } },
  "list of origins": { cors: { origin: ["http://shop.test", "http://admin.test"] } },
  "list of origins, another asks": { cors: { origin: ["http://admin.test"] } },
  pattern: { cors: { origin: /\.test$/ } },
  "origin reflected": { cors: { origin: true } },
  "origin false": { cors: { origin: false } },
  "origin decided by a function": { cors: { origin: (origin, decide) => decide(null, origin.endsWith(".test")) } },
  credentials: { cors: { origin: "http://shop.test", credentials: true } },
  "methods, headers and age": {
    cors: { origin: "*", methods: ["GET", "POST"], allowedHeaders: ["x-own"], exposedHeaders: ["x-seen"], maxAge: 600 },
  },
  "other success status": { cors: { origin: "*", optionsSuccessStatus: 200 } },
  "preflight without an Origin": { cors: { origin: "*" }, headers: { origin: undefined } },
};
export const options = ({ cors }) => ({ cors });

export async function run(t, { headers }) {
  t.log("OPTIONS", await t.http("OPTIONS", t.url(), { headers: { ...asks, ...headers } }));
}
