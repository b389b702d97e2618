// A `t` in the query, different each time, has no effect; nor has any other key.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const open = await t.http("GET", t.url({ t: "a1" }));
  const { sid } = JSON.parse(open.body.slice(1));
  t.log("POST", await t.http("POST", t.url({ t: "a2", sid }), { body: "40" }));
  t.log("GET", await t.http("GET", t.url({ t: "a3", sid })));
  t.log("POST", await t.http("POST", t.url({ sid, b64: "1", j: "" }), { body: event("echo", 1) }));
  t.log("GET", await t.http("GET", `${t.url({ sid })}&t=%20&t=again`));
}
