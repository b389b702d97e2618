// Other methods on an open session.
import { event } from "../../lib/tools.mjs";

export const table = { DELETE: "DELETE", PUT: "PUT", PATCH: "PATCH", HEAD: "HEAD", OPTIONS: "OPTIONS" };

export async function run(t, method) {
  const session = await t.polling({ join: true });
  t.log(method, await t.http(method, session.path));
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.get());
}
