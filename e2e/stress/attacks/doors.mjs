// Strangers at the doors that are not for clients.
import { engineUrl } from "../../../testing/engine.mjs";
import { requestText } from "../../../testing/http.mjs";
import { epochSeconds, signToken, trunkToken } from "../../../testing/token.mjs";
import { upgradeHead } from "../../../testing/websocket.mjs";
import { again, anybody, held, sent } from "./tools.mjs";

const FORGED = "a-key-that-is-none-of-this-hub's-keys";
const bearer = (token) => ({ authorization: `Bearer ${token}` });

export const DOORS = {
  "forged-trunks": {
    what: "app servers with tokens of another key, with an old one, with none",
    named: /trunks_refused/,
    run: (port, until) => {
      const tokens = [
        trunkToken({ key: FORGED }),
        signToken({ aud: "trunkline", hub: "default", iat: 1, exp: 2 }),
        signToken({ aud: "trunkline", hub: "default", iat: epochSeconds(), exp: epochSeconds() + 60 }, { alg: "none" }),
        "",
      ];
      return again(
        50,
        until,
        (number) => sent(port, upgradeHead("/trunk/v1", bearer(tokens[number % tokens.length]))),
        "trunks",
      );
    },
  },
  "silent-trunks": {
    what: "somebody with the key of a hub opens trunks that say nothing",
    named: /trunks_(refused|ended)/,
    args: () => ["--trunks-per-hub-max", "50"],
    run: (port, until) =>
      held(
        port,
        200,
        until,
        () => upgradeHead("/trunk/v1", bearer(trunkToken())),
        () => "",
        anybody,
      ),
  },
  "forged-tokens": {
    what: "clients with tokens of another key",
    named: /client_tokens_refused|requests_refused.*address_failures/,
    run: (port, until) => {
      const token = signToken({ sub: "admin", aud: "http://127.0.0.1", exp: epochSeconds() + 600 }, { key: FORGED });
      const path = engineUrl({ access_token: token }, "/clients/socketio/hubs/default/");
      return again(50, until, () => sent(port, requestText("GET", path)), "handshakes");
    },
  },
  "huge-tokens": {
    what: "clients with tokens of 15 KB that are no tokens",
    named: /client_tokens_refused|requests_refused.*address_failures|streams_refused/,
    run: (port, until) => {
      const path = engineUrl(
        { access_token: `${"e".repeat(7_000)}.${"f".repeat(7_000)}.x` },
        "/clients/socketio/hubs/default/",
      );
      return again(50, until, () => sent(port, requestText("GET", path)), "handshakes");
    },
  },
  "rest-without-a-key": {
    what: "calls of the REST API and about tokens, with forged tokens and large bodies",
    named: /calls_(unauthorized|refused)|requests_refused.*(call_unauthorized|address_failures)/,
    run: (port, until) => {
      const body = "x".repeat(60_000);
      const headers = { ...bearer(trunkToken({ key: FORGED })), "content-type": "application/json" };
      const paths = ["/api/hubs/default/:send", "/api/hubs/default/users/a/:send", "/trunk/v1/calls/tokens.revoke"];
      return again(
        50,
        until,
        (number) => sent(port, requestText("POST", paths[number % paths.length], { headers, body })),
        "calls",
      );
    },
  },
  "foreign-origins": {
    what: "web pages of others open WebSockets with the users' cookies",
    args: () => ["--allowed-origins", "https://ours.example.com"],
    named: /requests_refused.*origin_not_allowed/,
    run: (port, until) => {
      const head = upgradeHead(engineUrl({ transport: "websocket" }), { origin: "https://evil.example.com" });
      return again(50, until, () => sent(port, head), "handshakes");
    },
  },
};
