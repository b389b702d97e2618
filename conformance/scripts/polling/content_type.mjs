// A body is text, whatever the content type says; only octet-stream is refused (it belongs to protocol 3).
import { event } from "../../lib/tools.mjs";

export const table = {
  "text/plain": { "content-type": "text/plain" },
  "text/plain in another charset": { "content-type": "text/plain; charset=iso-8859-1" },
  "application/json": { "content-type": "application/json" },
  form: { "content-type": "application/x-www-form-urlencoded" },
  none: {},
  "octet-stream": { "content-type": "application/octet-stream" },
  "octet-stream with a parameter": { "content-type": "application/octet-stream; x=y" },
};

export async function run(t, headers) {
  const session = await t.polling({ join: true });
  t.log("POST", await session.post(event("a", "é"), headers));
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.get());
}
