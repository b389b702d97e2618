// Bodies that break a rule: the answer, the reason that the app sees, and whether the session lives on.
import { event } from "../../lib/tools.mjs";

const RS = "\x1e";

export const table = {
  "empty body": "",
  "a separator alone": RS,
  "a separator at the start": RS + event("a", 1),
  "a separator at the end": event("a", 1) + RS,
  "two separators": event("a", 1) + RS + RS + event("b", 2),
  "unknown packet type": "7",
  "packet type a letter": "x42",
  "good packet, then a bad one, then a good one": [event("a", 1), "9", event("b", 2)].join(RS),
  "open packet from the client": "0{}",
  "ping from the client": "2",
  "probe ping over polling": "2probe",
  "upgrade packet over polling": "5",
  "bytes that are not UTF-8": Buffer.from([0x34, 0x32, 0x5b, 0x22, 0x61, 0x22, 0x2c, 0x22, 0xff, 0xc3, 0x22, 0x5d]),
  "a UTF-8 byte order mark in front": Buffer.from("\ufeff" + event("a", 1)),
  "line end after the packet": event("a", 1) + "\n",
};

export async function run(t, body) {
  const session = await t.polling({ join: true });
  t.log("POST", await session.post(body));
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.get());
}
