// A second POST while the body of the first is under way ends the session.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  const slow = await t.stream();
  const answer = slow.request("POST", session.path, {
    headers: { "content-length": 1000, "content-type": "text/plain" },
  });
  slow.write("42[");
  await t.pause(50); // no event shows that a server has begun to read
  t.log("second", await session.post(event("a", 1)));
  t.log("first", await answer);
  await t.saw("disconnect");
  t.log("afterwards", await session.get());
}
