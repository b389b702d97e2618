// JSONP polling of Engine.IO 3: packets arrive as a script that calls `___eio[j]`, and are sent as a form with one
// field `d`.
import vm from "node:vm";

export const options = { allowEIO3: true, pingInterval: 20_000 };

/** Encodes packets as `<length in UTF-16 units>:<packet>`, one after another. */
const payload = (...packets) => packets.map((packet) => `${packet.length}:${packet}`).join("");

function packetsOf(text) {
  const packets = [];
  for (let at = 0; at < text.length; ) {
    const colon = text.indexOf(":", at);
    const end = colon + 1 + Number(text.slice(at, colon));
    packets.push(text.slice(colon + 1, end));
    at = end;
  }
  return packets;
}

/** Runs the script as a page does; returns the packets that its callback number `index` received. */
function packetsOfScript(script, index) {
  const given = [];
  vm.runInNewContext(script, { ___eio: { [index]: (text) => given.push(text) } });
  return given.flatMap(packetsOf);
}

/** A newline is sent as `\n`, because forms turn it into `\r\n`; a `\n` in the packet itself is sent as `\\n`. */
const form = (text) => new URLSearchParams({ d: text.replaceAll("\\n", "\\\\n").replaceAll("\n", "\\n") }).toString();

class Jsonp {
  static async open(t, { j = "0", ...query } = {}) {
    const session = new Jsonp(t, j, query);
    const response = await t.http("GET", session.url());
    const [open, ...others] = packetsOfScript(response.body, session.index);
    session.sid = JSON.parse(open.slice(1)).sid;
    // The number of packets that arrive with the open packet depends on timing; the text around them does not.
    session.early = others;
    const { "content-length": _length, ...headers } = response.headers;
    t.log("answer", { ...response, headers, body: response.body.replace(/"(.*)"/, "…") });
    t.log("open packet", open);
    return session;
  }

  constructor(t, j, query) {
    // A client that reads scripts cannot take bytes.
    Object.assign(this, { t, j, query: { b64: "1", ...query }, early: [], index: j.replace(/[^0-9]/g, "") });
  }
  url(more) {
    return this.t.url({ EIO: "3", j: this.j, sid: this.sid, ...this.query, ...more });
  }
  get(more) {
    return this.t.http("GET", this.url(more));
  }
  post(text, { body = form(text), type = "application/x-www-form-urlencoded" } = {}) {
    return this.t.http("POST", this.url(), { headers: { "content-type": type }, body });
  }
  /** Polls until `count` packets have arrived. */
  async collect(count) {
    const packets = this.early.splice(0);
    while (packets.length < count) packets.push(...packetsOfScript((await this.get()).body, this.index));
    return packets;
  }
  /** Polls for the packet that connects an Engine.IO 3 client to the default namespace, and drops it. */
  async joined() {
    this.t.log("joined", await this.collect(1));
    return this;
  }
}

const event = (...args) => `42${JSON.stringify(args)}`;

const acts = {
  "open and join": async (t) => void (await (await Jsonp.open(t)).joined()),
  "the number of the callback": async (t) => {
    const session = await (await Jsonp.open(t, { j: "17" })).joined();
    await session.post(payload(event("echo", 1)));
    t.log("GET", await session.get());
  },
  "a number with other characters": async (t) => void (await (await Jsonp.open(t, { j: "a1);alert(2" })).joined()),
  "the number of the first request stays": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    await session.post(payload(event("echo", 1)));
    t.log("GET", await session.get({ j: "5" }));
  },
  "a message each way": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload(event("echo", "here"))));
    t.log("GET", await session.get());
  },
  "several packets in a form": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload(event("echo", 1), event("echo", 2), event("echo", 3))));
    t.log("packets", await session.collect(3));
  },
  "text that is awkward in scripts and forms": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    const text = "ü€ 你好 </script> & = + % \" ' \u2028 \u2029 \\ \\n \r\n \t";
    t.log("POST", await session.post(payload(event("echo", text))));
    t.log("GET", await session.get());
  },
  "a newline that is not in JSON": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload('42["echo",\n"a\\nb"]')));
    t.log("packets", await session.collect(1));
  },
  "text outside the basic plane": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload(event("echo", "a🚀b"), event("echo", "after"))));
    t.log("packets", await session.collect(2));
  },
  "binary as base64": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    const bytes = Buffer.from([0, 1, 127, 128, 254, 255]).toString("base64");
    t.log("POST", await session.post(payload('451-["echo",{"_placeholder":true,"num":0}]', `b4${bytes}`)));
    t.log("packets", await session.collect(2));
  },
  "an acknowledgement": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload('427["plain",1,"two"]')));
    t.log("packets", await session.collect(1));
  },
  "heartbeat of the client": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload("2")));
    t.log("packets", await session.collect(1));
  },
  "a form without the field": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post("", { body: "e=1%3A2" }));
    t.log("still there", await session.post(payload(event("echo", 1))));
    t.log("packets", await session.collect(1));
  },
  "a form with the field twice": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post("", { body: `${form(payload(event("a")))}&${form(payload(event("b")))}` }));
    t.log("still there", await session.post(payload(event("echo", 1))));
    t.log("packets", await session.collect(1));
  },
  "an empty payload": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(""));
    await t.saw("close");
  },
  "a length that is wrong": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post("99:42[]"));
    await t.saw("close");
  },
  "a form sent as text": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload(event("echo", 1)), { type: "text/plain;charset=UTF-8" }));
    t.log("packets", await session.collect(1));
  },
  "closed by the client": async (t) => {
    const session = await (await Jsonp.open(t)).joined();
    t.log("POST", await session.post(payload("1")));
    await t.saw("close");
    t.log("GET", await session.get());
  },
  "an unknown session": async (t) => void t.log("GET", await t.http("GET", t.url({ EIO: "3", j: "0", sid: "nobody" }))),
};

export const table = Object.fromEntries(Object.keys(acts).map((name) => [name, name]));

export const run = (t, name) => acts[name](t);
