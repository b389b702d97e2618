// Streams that say nothing, too little, too much, or what no client says.
import { engineUrl } from "../../../testing/engine.mjs";
import { requestText } from "../../../testing/http.mjs";
import { again, anybody, held, random, sent, session, STRANGER } from "./tools.mjs";

const SLOW = ["--header-timeout", "2s", "--body-timeout", "2s", "--keep-alive-timeout", "2s"];

export const STREAMS = {
  "silent-streams": {
    what: "2,000 streams that are opened and say nothing",
    args: () => SLOW,
    named: /streams_refused.*header_timeout/,
    run: (port, until) =>
      held(
        port,
        2_000,
        until,
        () => "",
        () => "",
        anybody,
      ),
  },
  "slow-heads": {
    what: "1,000 heads that come a byte at a time",
    args: () => SLOW,
    named: /streams_refused.*header_timeout/,
    run: (port, until) =>
      held(
        port,
        1_000,
        until,
        () => "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: a\r\nx-",
        () => "a",
      ),
  },
  "slow-bodies": {
    what: "500 posts of real sessions whose bodies come a few bytes at a time",
    args: () => SLOW,
    named: /requests_refused.*body_timeout/,
    run: (port, until) =>
      held(
        port,
        500,
        until,
        async () => {
          const sid = await session(port);
          return `POST ${engineUrl({ sid })} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n4`;
        },
        () => "a",
      ),
  },
  "endless-heads": {
    what: "100 heads that never end, as fast as the node takes them",
    named: /streams_refused.*header_too_large/,
    run: (port, until) => {
      const bytes = `GET / HTTP/1.1\r\nhost: a\r\n${"x: y\r\n".repeat(20_000)}`;
      return again(100, until, () => sent(port, bytes), "heads");
    },
  },
  "streams-of-one": {
    what: "one address opens every stream that it gets, and keeps it",
    args: () => ["--address-streams-max", "200"],
    named: /streams_refused.*address_streams_full/,
    run: (port, until) =>
      held(
        port,
        1_500,
        until,
        () => "GET /socket.io/ HTTP/1.1\r\n",
        () => "",
      ),
  },
  "opened-and-closed": {
    what: "streams that are opened and reset at once, from everywhere",
    named: /streams_broken/,
    run: (port, until) => again(100, until, () => sent(port, "G", anybody(), 1), "streams"),
  },
  "not-http": {
    what: "random bytes in place of requests",
    named: /streams_refused.*(malformed_request|proxy_header_unexpected|tls_unexpected)/,
    run: (port, until) =>
      again(
        50,
        until,
        () => sent(port, Buffer.from(Array.from({ length: 600 }, () => random(256))), STRANGER),
        "streams",
      ),
  },
  "tls-to-a-plain-port": {
    what: "TLS handshakes with a port that has no TLS",
    named: /streams_refused.*tls_unexpected/,
    run: (port, until) =>
      again(50, until, () => sent(port, Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])), "hellos"),
  },
  "proxy-headers": {
    what: "headers of the PROXY protocol from strangers who want another address",
    args: () => ["--trusted-proxies", "192.0.2.1", "--proxy-protocol", "on"],
    named: /streams_refused.*proxy_header_unexpected/,
    run: (port, until) =>
      again(
        50,
        until,
        () => sent(port, `PROXY TCP4 10.0.0.${random(250)} 10.0.0.1 1000 80\r\n${requestText("GET", engineUrl())}`),
        "headers",
      ),
  },
  "two-requests-in-one": {
    what: "requests whose length two servers could read in two ways",
    named: /streams_refused.*malformed_request|requests_refused/,
    run: (port, until) => {
      const smuggled = requestText("GET", "/trunk/v1");
      const kinds = [
        `POST ${engineUrl()} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
        `POST ${engineUrl()} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 90\r\n\r\n4abc${smuggled}`,
        `GET ${engineUrl()} HTTP/1.1\nhost: a\n\n${smuggled}`,
        `GET ${engineUrl()} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n${smuggled}`,
        `POST ${engineUrl()} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n`,
      ];
      return again(50, until, (number) => sent(port, kinds[number % kinds.length]), "requests");
    },
  },
  pipelines: {
    what: "a thousand requests at once on each stream, of which no answer is read",
    named: /address_(failures|banned)/,
    run: (port, until) => {
      const requests = requestText("GET", engineUrl({ sid: "nobody" })).repeat(1_000);
      return again(20, until, () => sent(port, requests, STRANGER, 500), "streams");
    },
  },
  "unknown-paths": {
    what: "requests for what is not here",
    named: /requests_refused.*(path_unknown|hub_unknown|address_failures)/,
    run: (port, until) => {
      const paths = ["/", "/wp-login.php", "/clients/socketio/hubs/nobody/", `/${"a".repeat(4_000)}`, "/socket.io/../"];
      return again(100, until, (number) => sent(port, requestText("GET", paths[number % paths.length])), "requests");
    },
  },
};
