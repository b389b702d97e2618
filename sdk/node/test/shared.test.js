// Shortcuts of the handshake: each gives what the long way gives.
import assert from "node:assert/strict";
import test from "node:test";
import { HandshakeRequest } from "../dist/esm/session/request.js";
import { Reader } from "../dist/esm/trunk/reader.js";
import { Writer } from "../dist/esm/trunk/writer.js";
import { decodeBatch } from "../dist/esm/trunk/decode.js";
import { encodeFrame } from "../dist/esm/trunk/encode.js";
import { Outbound } from "../dist/esm/trunk/outbound.js";

const query = (url) => {
  const source = { transport: 1, flags: 0, address: "", port: 1, method: "GET", url, rawHeaders: [], claims: "" };
  return new HandshakeRequest(source)._query;
};

test("a query is what URLSearchParams makes of it", () => {
  const queries = [
    "EIO=4&transport=websocket",
    "EIO=4&transport=polling&t=P5.x-_1",
    "a=1&a=2",
    "a=",
    "a",
    "a&b=1",
    "=1",
    "a=1&",
    "&a=1",
    "a==b",
    "a=%20",
    "a=+",
    "__proto__=1",
    "a=1&__proto__=2",
    "constructor=1",
    "1=2&0=3",
    "a=ä",
    "a=1#b=2",
    "a=b?c=d",
    "",
  ];
  for (const text of queries) {
    const expected = Object.fromEntries(new URLSearchParams(text.split("#")[0]));
    assert.deepEqual(query(`/socket.io/?${text}`), expected, text);
    assert.deepEqual(Object.keys(query(`/socket.io/?${text}`)), Object.keys(expected), text);
  }
});

const shared = (bytes) => {
  const writer = new Writer();
  writer.bytes(bytes);
  return new Reader(Buffer.from(writer.take())).shared("a text");
};

test("texts that come again are the same text, and no other", () => {
  // All of them have the same first, middle and last byte, and so the same place.
  const texts = [
    "abcde",
    "aXcde",
    "abcXe",
    "abcde",
    "",
    "ü",
    "a\u0000cde",
    "x".repeat(199),
    "x".repeat(200),
    "x".repeat(201),
    "x".repeat(1000),
  ];
  for (let round = 0; round < 3; round += 1) {
    for (const text of texts) assert.equal(shared(Buffer.from(text)), text);
  }
  for (let round = 0; round < 2; round += 1) {
    assert.throws(() => shared(Buffer.from([0x61, 0xff, 0x62])), { rule: "bad_utf8" });
  }
});

test("a text outlives the batch that it came in", () => {
  const writer = new Writer();
  writer.bytes(Buffer.from("user-agent"));
  const batch = Buffer.from(writer.take());
  const first = new Reader(batch).shared("a text");
  batch.fill(0);
  assert.equal(first, "user-agent");
  assert.equal(shared(Buffer.from("user-agent")), "user-agent");
});

test("a plain Accept is the same frame", () => {
  for (const session of [0, 127, 128, 70_000, 0xffff_ffff]) {
    const sent = [];
    const outbound = new Outbound(
      { schedule: () => undefined, transmit: (batch) => sent.push(Buffer.from(batch)) },
      {},
    );
    outbound.acceptPlainly(session);
    outbound.flush();
    const writer = new Writer();
    encodeFrame(writer, { type: "Accept", session, sid: "", headers: [], lasting: [] });
    assert.deepEqual(Buffer.concat(sent), Buffer.from(writer.take()));
  }
});

const opened = (rawHeaders) => {
  const request = { transport: 2, flags: 0, address: "127.0.0.1", port: 1, method: "GET", url: "/", claims: "{}" };
  const writer = new Writer();
  encodeFrame(writer, { type: "Open", session: 1, eio: 4, sid: "sid", request: { ...request, rawHeaders } });
  return Buffer.from(writer.take());
};
const headersOf = (batch) => {
  const [{ request }] = decodeBatch(new Reader(batch));
  assert.equal(request.claims, "{}", "what follows the headers");
  return request.rawHeaders;
};
const browser = (key, cookie, agent = "some browser") =>
  ["host", "chat.example", "cookie", cookie, "user-agent", agent].concat(["sec-websocket-key", key, "x-last", "last"]);

test("headers that are like those before have their own values", () => {
  const all = [
    browser("key of one", "a=1"),
    browser("key of two", "a=2"),
    browser("key of two", "a=2"),
    browser("key of 3rd", "a=three"),
    browser("longer key", "a=2"),
    browser("key of one", "a=1", "else browser"),
    browser("key of ü1", "a=ü"),
    browser("key of one", "a=1").slice(0, -2),
    ["host", "chat.example"],
    ["cookie", "only=this"],
    ["cookie", "only=that", "cookie", "and=more"],
    ["authorization", "x", "x-forwarded-for", "203.0.113.7"],
    [],
  ];
  for (let round = 0; round < 40; round++) {
    for (const headers of all) {
      for (let times = 0; times <= round % 4; times++) assert.deepEqual(headersOf(opened(headers)), headers);
    }
  }
});

test("headers outlive their batch, a client's list is its own, and others' values are not kept", () => {
  const batch = opened(browser("key of one", "secret=1"));
  const first = headersOf(batch);
  batch.fill(0);
  const second = headersOf(opened(browser("key of two", "secret=2")));
  second[1] = "changed by the app";
  assert.deepEqual(first, browser("key of one", "secret=1"));
  assert.deepEqual(headersOf(opened(browser("key of 3rd", "secret=3"))), browser("key of 3rd", "secret=3"));
});

test("headers that are like those before follow the rules, too", () => {
  for (let times = 0; times < 3; times++) headersOf(opened(browser("key of one", "a=1")));
  const batch = opened(browser("key of one", "a=1"));
  const place = batch.indexOf("a=1");
  const broken = Buffer.from(batch);
  broken[place] = 0xff;
  assert.throws(() => headersOf(broken), { rule: "bad_utf8" });
  // The frame says that it ends within its last header; the bytes go on.
  const cut = Buffer.from(batch);
  assert.equal(cut[1], cut.length - 2);
  cut[1] = batch.indexOf("x-last") + "x-last".length - 2;
  assert.throws(() => headersOf(cut), { rule: "truncated" });
});
