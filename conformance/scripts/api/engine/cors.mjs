// The `cors` option in each of its forms, for preflights and for requests.
const origin = "http://good.test";
const cors = (options, requests = [origin, "http://bad.test"]) => ({
  proves: ["option cors"],
  options: { cors: options },
  app: () => {},
  async run(t) {
    for (const from of requests) {
      const headers = {
        origin: from,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-mine",
      };
      t.log(`preflight from ${from}`, await t.http("OPTIONS", t.url(), { headers }));
      const { status, headers: told } = await t.http("GET", t.url(), { headers: { origin: from } });
      t.log(`request from ${from}`, [
        status,
        Object.fromEntries(
          Object.entries(told)
            .filter(([name]) => name.startsWith("access-") || name === "vary")
            .sort(),
        ),
      ]);
    }
  },
});

export const cases = {
  "origin, text": cors({ origin }),
  "origin, list": cors({ origin: [origin, "http://other.test"] }),
  "origin, pattern": cors({ origin: /good\.test$/ }),
  "origin, true": cors({ origin: true, credentials: true }),
  "origin, star": cors({ origin: "*" }),
  "origin, function": cors({ origin: (from, decide) => setTimeout(() => decide(null, from === origin), 2) }),
  everything: cors({
    origin,
    methods: ["GET", "POST"],
    allowedHeaders: ["x-mine"],
    exposedHeaders: ["x-yours"],
    credentials: true,
    maxAge: 60,
    optionsSuccessStatus: 200,
  }),
  "a delegate for each request": cors((request, decide) =>
    decide(null, { origin: request.headers.origin === origin ? origin : false, credentials: true }),
  ),
  "without the option": { ...cors(undefined), options: {} },
};
