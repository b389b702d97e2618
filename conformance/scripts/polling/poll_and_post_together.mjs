// A POST while a poll is held is the ordinary case: the poll's answer carries the reply to the event.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  for (const round of [1, 2, 3]) {
    const poll = await session.hold();
    t.log("POST", await session.post(event("echo", round)));
    t.log("GET", await poll.answer);
  }
}
