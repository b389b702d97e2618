// Clients that begin much and finish nothing, guess, repeat, or ask for what only an app could give.
import { randomBytes } from "node:crypto";
import { EngineSocket, engineUrl, SEPARATOR, socketUrl } from "../../../testing/engine.mjs";
import { encodeFrame, OPCODE, textFrame } from "../../../testing/frames.mjs";
import { requestText } from "../../../testing/http.mjs";
import { RawStream } from "../../../testing/stream.mjs";
import { upgradeHead } from "../../../testing/websocket.mjs";
import { again, anybody, each, floods, NO_LIMITS, over, pause, posted, sent, session, STRANGER } from "./tools.mjs";

export const SESSIONS = {
  "handshakes-of-one": {
    what: "one address opens polling sessions and leaves them",
    args: () => ["--address-handshakes-per-second", "20", "--address-sessions-max", "300"],
    named: /requests_refused.*address_(handshakes|sessions_full)/,
    run: (port, until) => again(50, until, () => sent(port, requestText("GET", engineUrl())), "handshakes"),
  },
  "handshakes-of-many": {
    what: "handshakes from everywhere, which are left",
    args: (clients) => ["--sessions-max", String(clients + 2_000)],
    named: /(handshakes_total|requests_refused).*(sessions_full|app_servers_busy|handshakes_full)/,
    run: (port, until) => again(50, until, () => sent(port, requestText("GET", engineUrl()), anybody()), "handshakes"),
  },
  "left-handshakes": {
    what: "WebSocket handshakes whose clients are gone before the answer",
    named: /client_gone|transport_close/,
    run: (port, until) => again(50, until, () => sent(port, upgradeHead(socketUrl()), anybody(), 2), "handshakes"),
  },
  "guessed-sids": {
    what: "polls with invented session ids",
    named: /requests_refused.*(unknown_sid|address_failures)|streams_refused.*address_banned/,
    run: (port, until) =>
      again(
        100,
        until,
        () => sent(port, requestText("GET", engineUrl({ sid: randomBytes(15).toString("base64url") }))),
        "guesses",
      ),
  },
  "upgrades-begun": {
    what: "sessions whose upgrades are begun and never finished, one after another",
    named: /edge_upgrades.*(failed|stream_closed)/,
    run: (port, until) =>
      again(
        50,
        until,
        async () => {
          const sid = await session(port);
          for (let tries = 0; tries < 20 && !over(until); tries += 1) {
            const raw = new RawStream(port, NO_LIMITS);
            raw.write(upgradeHead(engineUrl({ transport: "websocket", sid })));
            raw.write(textFrame(tries % 2 ? "2probe" : "4no"));
            await Promise.race([new Promise((done) => raw.socket.once("data", done)), raw.end, pause(300)]);
            raw.destroy();
          }
        },
        "sessions",
      ),
  },
  "polls-at-once": {
    what: "many polls and posts of one session at the same time",
    named: /misbehaviour.*overlap/,
    run: (port, until) =>
      again(
        20,
        until,
        async () => {
          const sid = await session(port);
          const get = requestText("GET", engineUrl({ sid }), { headers: { connection: "close" } });
          await each(10, (number) =>
            number % 2 ? sent(port, get, NO_LIMITS, 200) : posted(port, sid, "42[1]", Date.now() + 200),
          );
        },
        "sessions",
      ),
  },
  "no-pongs": {
    what: "sessions of clients that answer no ping, one after another",
    options: { pingInterval: 500, pingTimeout: 500 },
    named: /sessions_closed.*ping_timeout/,
    run: (port, until) =>
      again(
        200,
        until,
        async () => {
          const client = new EngineSocket(port, socketUrl(), { answersPings: false });
          await Promise.race([new Promise((done) => client.socket.once("close", done)), pause(2_500)]);
          client.socket.destroy();
        },
        "sessions",
      ),
  },
  "come-and-go": {
    what: "sessions that are opened, join, say one thing and are gone",
    run: (port, until) =>
      again(
        50,
        until,
        async () => {
          const client = new EngineSocket(port, socketUrl());
          await client.opened();
          client.text("40");
          client.text('42["nothing"]');
          await pause(10);
          client.socket.resetAndDestroy();
        },
        "sessions",
      ),
  },
  namespaces: {
    what: "clients that ask for namespaces without an end",
    run: (port, until) => {
      const asked = Array.from({ length: 2_000 }, (_, number) => textFrame(`40/n${number},`));
      return floods(port, 20, until, [Buffer.concat(asked)]);
    },
  },
  attachments: {
    what: "events whose binary attachments never come, and binary messages that nobody asked for",
    named: /sessions_closed/,
    run: (port, until) =>
      floods(
        port,
        20,
        until,
        [
          textFrame('451-["a",{"_placeholder":true,"num":0}]'),
          Buffer.concat(Array(500).fill(encodeFrame({ opcode: OPCODE.binary, payload: "xyz" }))),
        ],
        { begin: textFrame("40") },
      ),
  },
  "deep-json": {
    what: "packets of brackets, of numbers without an end, and of types that do not exist",
    named: /sessions_closed/,
    run: (port, until) =>
      floods(
        port,
        20,
        until,
        [textFrame(`42${"[".repeat(400_000)}`), textFrame(`42["a",${"9".repeat(400_000)}]`), textFrame("49")],
        { begin: textFrame("40") },
      ),
  },
  "wrong-payloads": {
    what: "posts that are no payload: empty packets, unknown types, wrong base64, a megabyte of separators",
    named: /sessions_closed.*parse_error/,
    run: (port, until) => {
      const bodies = ["9", SEPARATOR.repeat(900_000), `4a${SEPARATOR}`, "b====", "\u{1f600}".repeat(1_000)];
      return again(
        50,
        until,
        async (number) => posted(port, await session(port), bodies[number % bodies.length], until),
        "posts",
      );
    },
  },
  "forwarded-for": {
    what: "one address that claims to be another one in each request",
    args: () => ["--trusted-proxies", "192.0.2.1", "--address-handshakes-per-second", "20"],
    named: /requests_refused.*address_handshakes/,
    run: (port, until) =>
      again(
        50,
        until,
        (number) => {
          const headers = { "x-forwarded-for": `198.51.100.${number}`, forwarded: `for=198.51.100.${number}` };
          return sent(port, requestText("GET", engineUrl(), { headers }), STRANGER);
        },
        "handshakes",
      ),
  },
};
