// Header edge cases as Node.js gives them to an app: duplicates, case, cookies, empty values.
export function app(io, log) {
  io.engine.on("connection", ({ request }) => {
    for (const name of ["x-twice", "x-empty", "cookie", "user-agent", "authorization", "x-case", "x-latin", "host"]) {
      log(name, request.headers[name] ?? "none");
    }
  });
}

const headers = {
  "X-Twice": ["one", "two"],
  "X-Empty": "",
  Cookie: ["a=1", "b=2"],
  "User-Agent": ["first", "second"],
  Authorization: ["Bearer a", "Bearer b"],
  "X-CASE": "MiXeD",
  "X-Latin": "caf\xe9",
};

export async function run(t) {
  await t.http("GET", t.url(), { headers });
  await t.saw("host");
}
