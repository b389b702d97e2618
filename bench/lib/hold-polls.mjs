// Holds Engine.IO sessions over long polling: `node hold-polls.mjs URL COUNT`, until it is ended.
// Each session has one connection: handshake, connect packet, its answer, then a GET that the server holds; pings are answered.
// Says `{"held":COUNT}` when every session waits in its GET.
import { connect } from "node:net";

const [url, countText] = process.argv.slice(2);
const { hostname, port, host } = new URL(url);
const count = Number(countText);
const CONNECTING_MAX = 50;
let begun = 0;
let connecting = 0;
let held = 0;

class Session {
  unread = "";
  sid = "";
  cookie = "";
  isJoined = false;
  isHeld = false;

  constructor() {
    this.stream = connect(Number(port), hostname);
    this.stream.setNoDelay(true);
    this.stream.setEncoding("latin1");
    this.stream.on("connect", () => this.request("GET"));
    this.stream.on("data", (text) => this.read(text));
    this.stream.on("error", (error) => fail(error.message));
    this.stream.on("close", () => fail("a server closed a connection"));
  }

  request(method, body) {
    const sid = this.sid && `&sid=${this.sid}`;
    const cookie = this.cookie && `Cookie: ${this.cookie}\r\n`;
    const length = body === undefined ? "" : `Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ${body.length}\r\n`;
    const head = `${method} /socket.io/?EIO=4&transport=polling${sid} HTTP/1.1\r\nHost: ${host}\r\n${cookie}${length}\r\n`;
    this.stream.write(head + (body ?? ""));
  }

  read(text) {
    this.unread += text;
    const end = this.unread.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.unread.slice(0, end);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? fail(`an answer without a length: ${head}`));
    if (this.unread.length < end + 4 + length) return;
    if (!head.startsWith("HTTP/1.1 200")) fail(head);
    this.cookie ||= /^set-cookie: ([^;\r]+)/im.exec(head)?.[1] ?? "";
    const body = this.unread.slice(end + 4, end + 4 + length);
    this.unread = "";
    this.answer(body);
  }

  answer(body) {
    const packets = body.split("\x1e");
    this.isJoined ||= packets.some((packet) => packet.startsWith("40"));
    if (body.startsWith("0")) {
      this.sid = JSON.parse(body.slice(1)).sid;
      this.request("POST", "40");
    } else if (packets.includes("2")) {
      this.request("POST", "3");
    } else {
      this.request("GET");
      if (this.isJoined) this.hold();
    }
  }

  hold() {
    if (this.isHeld) return;
    this.isHeld = true;
    held += 1;
    connecting -= 1;
    begin();
    if (held === count) console.log(JSON.stringify({ held }));
  }
}

function begin() {
  while (connecting < CONNECTING_MAX && begun < count) {
    connecting += 1;
    begun += 1;
    new Session();
  }
}

function fail(reason) {
  console.error(`hold-polls: ${reason}`);
  process.exit(1);
}

begin();
