// Bodies around `maxHttpBufferSize`, with a length and chunked.
import { event } from "../../lib/tools.mjs";

export const options = { maxHttpBufferSize: 100 };

const sized = (bytes) => event("a", "x".repeat(bytes - 10));
const chunks = (...parts) => parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("") + "0\r\n\r\n";

export const table = {
  "just fits": { body: sized(100) },
  "one byte over": { body: sized(101) },
  "far over": { body: sized(300_000) },
  "bytes count, not characters": { body: event("a", "é".repeat(60)) },
  "chunked, fits": { chunked: chunks(sized(60)) },
  "chunked, fits in two parts": { chunked: chunks(sized(60).slice(0, 10), sized(60).slice(10)) },
  "chunked, over": { chunked: chunks(sized(101)) },
  "chunked, over in the third part": { chunked: chunks("4", "2".repeat(99), "2") },
};

export async function run(t, { body, chunked }) {
  const session = await t.polling({ join: true });
  let answer;
  if (body) answer = await session.post(body);
  else {
    const headers = { "content-type": "text/plain", "transfer-encoding": "chunked" };
    const stream = await t.stream();
    const answered = stream.request("POST", session.path, { headers });
    stream.write(chunked);
    answer = await answered;
  }
  t.log("POST", answer);
  if (answer?.status !== 200) await t.saw("close"); // the next request is for an unknown session by then
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.get());
}
