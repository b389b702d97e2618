// One TCP stream for everything, requests one after another and two sent at once.
import { requestHead } from "../../../testing/http.mjs";
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const stream = await t.stream();
  const open = await stream.request("GET", t.url());
  t.log("handshake", open);
  const path = t.url({ sid: JSON.parse(open.body.slice(1)).sid });
  const post = (body) => ({ headers: { "content-type": "text/plain" }, body });
  t.log("POST", await stream.request("POST", path, post("40")));
  t.log("GET", await stream.request("GET", path));

  const answers = [stream.answer("POST"), stream.answer("GET")];
  const body = event("echo", "pipelined");
  const first = requestHead("POST", path, { host: "x", "content-length": body.length, "content-type": "text/plain" });
  stream.write(first + body + requestHead("GET", path, { host: "x" }));
  for (const answer of answers) t.log("pipelined", await answer);

  t.log("last", await stream.request("GET", t.url({ transport: "pigeon" }), { headers: { connection: "close" } }));
  t.log("stream", await stream.end);
}
