// Well-formed bodies of a POST: what the app receives, in which order, and the answers.
import { event } from "../../lib/tools.mjs";

const RS = "\x1e";
const packet = event;

export const table = {
  "one packet": packet("a", 1),
  "several packets": [packet("a", 1), packet("b", 2), packet("c", 3)].join(RS),
  "many packets": Array.from({ length: 30 }, (_, n) => packet("n", n)).join(RS),
  "text outside ASCII": packet("a", "grüße, 你好, 🚀"),
  "escaped record separator inside JSON": packet("a", "x\u001ey"),
  "binary attachment in base64": ['451-["pic",{"_placeholder":true,"num":0}]', "bAQID"].join(RS),
  "base64 without padding": ['451-["pic",{"_placeholder":true,"num":0}]', "bAQI"].join(RS),
  "base64 with padding": ['451-["pic",{"_placeholder":true,"num":0}]', "bAQ=="].join(RS),
  "base64 of the URL alphabet": ['451-["pic",{"_placeholder":true,"num":0}]', "b_-8"].join(RS),
  "base64 with foreign characters": ['451-["pic",{"_placeholder":true,"num":0}]', "bAQ*ID!"].join(RS),
  "empty attachment": ['451-["pic",{"_placeholder":true,"num":0}]', "b"].join(RS),
  "two attachments": [
    '452-["pics",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]',
    "bAQ==",
    "bAg==",
  ].join(RS),
  "noop packets between": ["6", packet("a", 1), "6", packet("b", 2)].join(RS),
  "event and close packet": [packet("a", 1), "1", packet("b", 2)].join(RS),
  "pong nobody asked for": ["3", packet("a", 1)].join(RS),
};

export async function run(t, body) {
  const session = await t.polling({ join: true });
  t.log("POST", await session.post(body));
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.get());
}
