// The audience of a token: it must be the node's configured name; the client's `Host` counts in development only.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { engineUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { epochSeconds, signToken } from "../../testing/token.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN } from "../harness/world.mjs";

const KEY = "a-key-that-staging-and-production-share";
const HUB = "/clients/socketio/hubs/default";
const TUNNEL = "/server/tunnel";
const CALL = "/api/hubs/default/users/nobody";

const sign = (aud) => signToken({ aud, exp: epochSeconds() + 60 }, { key: KEY });

/**
 * Sends requests with a token for `name` to a node that is called `host`; returns the answers of client, REST and
 * tunnel entrances.
 */
async function answers(node, host, name) {
  const asked = {
    client: requestText("GET", engineUrl({ access_token: sign(`${name}${HUB}`) }, `${HUB}/`), { headers: { host } }),
    call: requestText("GET", CALL, { headers: { host, authorization: `Bearer ${sign(`${name}${CALL}`)}` } }),
    tunnel: upgradeHead(`${TUNNEL}?hub=default&access_token=${sign(`${name}${TUNNEL}?hub=default`)}`, { host }),
  };
  const found = {};
  for (const [door, head] of Object.entries(asked)) {
    const raw = new RawStream(node.port).write(head);
    found[door] = await until(`${door}'s answer`, () => raw.status);
    raw.destroy();
  }
  return found;
}

/** With a valid token: a client finds no app server, a call finds an empty group, and a tunnel opens. */
const GOOD = { client: 503, call: 404, tunnel: 101 };
const REFUSED = { client: 401, call: 401, tunnel: 401 };

describe("audiences", { skip: PLAIN }, () => {
  const nodes = [];
  after(() => Promise.all(nodes.map((node) => node.stop())));
  const start = async (settings) => {
    const node = await startNode({ threads: 1, env: { TRUNKLINE_KEY: KEY }, ...settings });
    nodes.push(node);
    return node;
  };

  test("nothing configured: the address that the node listens on, whatever `Host` says", async () => {
    const node = await start({ command: "serve" });
    for (const host of [node.ready.listen, "staging.example"]) {
      for (const own of [node.url, `http://localhost:${node.port}`, `ws://127.0.0.1:${node.port}`]) {
        assert.deepEqual(await answers(node, host, own), GOOD, `${own} at ${host}`);
      }
      assert.deepEqual(await answers(node, host, "http://staging.example"), REFUSED, host);
    }
  });

  test("configured: these names and no others", async () => {
    const node = await start({
      command: "serve",
      args: ["--public-endpoints", "https://chat.example,http://10.0.0.5:8080"],
    });
    for (const host of ["chat.example", "staging.example", node.ready.listen]) {
      for (const own of ["https://chat.example", "http://10.0.0.5:8080"]) {
        assert.deepEqual(await answers(node, host, own), GOOD, `${own} at ${host}`);
      }
      for (const other of ["https://staging.example", node.url])
        assert.deepEqual(await answers(node, host, other), REFUSED, `${other} at ${host}`);
    }
  });

  test("the token that the node makes for a client is good at this node", async () => {
    const node = await start({ command: "serve", args: ["--public-endpoints", "https://chat.example"] });
    const path = "/api/hubs/default/:generateToken";
    const authorization = `Bearer ${sign(`https://chat.example${path}`)}`;
    const answer = await fetch(`${node.url}${path}`, { method: "POST", headers: { authorization } });
    const { token } = await answer.json();
    assert.equal(JSON.parse(Buffer.from(token.split(".")[1], "base64url")).aud, `https://chat.example${HUB}`);
  });

  test("in development `Host` counts, unless something is configured", async () => {
    const node = await start({});
    assert.deepEqual(await answers(node, "app.test:8080", "http://app.test:8080"), GOOD);
    assert.deepEqual(await answers(node, "app.test:8080", "http://other.test:8080"), REFUSED);
    const named = await start({ args: ["--public-endpoints", "http://chat.test"] });
    assert.deepEqual(await answers(named, "app.test:8080", "http://app.test:8080"), REFUSED);
    assert.deepEqual(await answers(named, "app.test:8080", "http://chat.test"), GOOD);
  });
});
