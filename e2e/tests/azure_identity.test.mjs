// Tokens of an identity provider, where Azure accepts those of Entra ID: REST, tunnels, clients; valid and invalid
// ones.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { next, until } from "../../testing/wait.mjs";
import { handshakeAt } from "../../testing/websocket.mjs";
import { startApp } from "../harness/app.mjs";
import { AzureWorld, HUB, HUB_PATH } from "../harness/azure.mjs";
import { startNode } from "../harness/node.mjs";
import { AUDIENCE, Provider } from "../harness/provider.mjs";
import { PLAIN } from "../harness/world.mjs";

const CLIENT_AUDIENCE = "api://chat";
const TIMES = ["--identity-retry", "1s", "--identity-timeout", "500ms"];

/** A node that trusts a provider. `tables` are lines of its file. */
class IdentityWorld extends AzureWorld {
  static async start({ tables, args = TIMES, mode = "up" } = {}) {
    const world = new IdentityWorld();
    world.provider = await Provider.start();
    world.provider.mode = mode;
    world.folder = mkdtempSync(join(tmpdir(), "trunkline-identity-"));
    const file = join(world.folder, "trunkline.toml");
    writeFileSync(file, (tables ?? usual)(world.provider));
    world.nodes.push(await startNode({ args: ["--config", file, ...args] }));
    return world;
  }

  /** A REST call, made by hand: Microsoft's client sends such tokens over https only. */
  async call(token, method = "POST", path = ":send", body = '42["news",1]') {
    const url = `${this.url}/api/hubs/${HUB}/${path}?api-version=2024-12-01`;
    const headers = {
      "content-type": "text/plain",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const response = await fetch(url, { method, headers, ...(method === "POST" ? { body } : {}) });
    const text = await response.text();
    return {
      status: response.status,
      code: response.headers.get("x-ms-error-code"),
      body: text === "" ? undefined : JSON.parse(text),
    };
  }

  async metric(name, labels) {
    return (await this.node.metrics()).get(`${name}{${labels}}`) ?? 0;
  }

  async stop() {
    await super.stop();
    await this.provider.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const usual = ({ issuer, jwksUrl }) => `
[[hub.default.identity_provider]]
issuer = "${issuer}"
audience = "${AUDIENCE}"
algorithms = ["RS256", "ES256"]
claims = { roles = ["owner"] }

[[hub.default.identity_provider]]
issuer = "${issuer}"
jwks_url = "${jwksUrl}"
audience = ["${CLIENT_AUDIENCE}"]
for = ["clients"]
`;

/** The status and code of a refused WebSocket. */
async function refusal(url) {
  const { status, body } = await handshakeAt(url);
  return [status, JSON.parse(body).error];
}

if (!PLAIN) {
  describe("identity providers", () => {
    let world;
    before(async () => {
      world = await IdentityWorld.start();
      const trunkline = { endpoint: world.url, tokenUrl: `${world.provider.issuer}/token`, hub: HUB };
      world.apps.push(await startApp({ app: "../azure/apps/chat", name: "amber", trunkline }));
    });
    afterEach(() => world.closeClients());
    after(() => world?.stop());

    test("Microsoft's SDK with a TokenCredential serves clients through its tunnel", async () => {
      const client = await world.client("/", { transports: ["websocket"] });
      assert.equal(await client.emitWithAck("echo", "x"), "x");
      assert.ok((await world.metric("trunkline_azure_identity_tokens_total", 'outcome="accepted"')) > 0);
    });

    test("REST, and a token for a client in exchange", async () => {
      const made = await world.call(world.provider.token(), "POST", ":generateToken", "");
      assert.equal(made.status, 200);
      const client = await world.client("/", { transports: ["websocket"], query: { access_token: made.body.token } });
      const news = next(client, "news");
      assert.equal((await world.call(world.provider.token())).status, 202);
      assert.deepEqual(await news, [1]);
    });

    test("clients bring tokens for their own audience; each audience opens its own door only", async () => {
      const { provider } = world;
      const query = { access_token: provider.token({ aud: CLIENT_AUDIENCE, sub: "ann", name: "Ann" }) };
      await world.client("/", { transports: ["polling"], query });
      const { claims } = await world.apps[0].noted("connection", ({ claims }) => claims?.name?.[0] === "Ann");
      assert.deepEqual(claims.sub, ["ann"]);
      assert.equal((await world.call(query.access_token)).status, 401);
      const url = `${world.url}${HUB_PATH}/?EIO=4&transport=polling&access_token=`;
      const wrong = await fetch(url + provider.token());
      assert.deepEqual([wrong.status, (await wrong.json()).error], [401, "token_audience"]);
      const forged = await fetch(url + provider.forged());
      assert.deepEqual([forged.status, (await forged.json()).error], [401, "token_signature"]);
    });

    test("bad tokens: status, code, and the counter of each", async () => {
      const { provider } = world;
      const past = Math.floor(Date.now() / 1000) - 3600;
      const cases = [
        ["another issuer", provider.token({ iss: "https://id.example.com" }), 401, "token_issuer"],
        ["no issuer", provider.token({ iss: undefined }), 401, "token_issuer"],
        ["another audience", provider.token({ aud: "https://vault.azure.net" }), 401, "token_audience"],
        ["expired", provider.token({ exp: past }), 401, "token_expired"],
        ["not yet valid", provider.token({ nbf: past + 7200 }), 401, "token_not_yet_valid"],
        ["without the claim that is asked for", provider.token({ roles: ["reader"] }), 403, "token_claims"],
        ["an unknown key", provider.token({}, { named: "rsa-9" }), 401, "token_key_unknown"],
        ["changed", provider.token().replace(/.{9}$/, "AAAAAAAAA"), 401, "token_signature"],
        ["PS256, which is not allowed", provider.token({}, { alg: "PS256" }), 401, "token_algorithm"],
        ["HS256 with the public key", provider.forged(), 401, "token_signature"],
        ["none", provider.unsigned(), 401, "token_malformed"],
        ["nothing", undefined, 401, "token_missing"],
      ];
      const tunnel = `${world.url.replace("http", "ws")}/server/tunnel?hub=${HUB}`;
      for (const [name, token, status, cause] of cases) {
        const before = await world.metric("trunkline_azure_calls_unauthorized_total", `cause="${cause}"`);
        const refused = await world.call(token);
        assert.equal(refused.status, status, name);
        assert.equal(refused.code, status === 403 ? "Forbidden" : "Unauthorized", name);
        assert.equal(
          await world.metric("trunkline_azure_calls_unauthorized_total", `cause="${cause}"`),
          before + 1,
          name,
        );
        assert.deepEqual(await refusal(token ? `${tunnel}&access_token=${token}` : tunnel), [status, cause], name);
      }
      assert.equal(world.node.log.text.includes("eyJ"), false, "no token is in the log");
    });

    test("a new key is found; strangers' names for keys cause no storm of fetches", async () => {
      const { provider } = world;
      provider.addKey("ec-1", "ES256");
      await until("the new key", async () => (await world.call(provider.token({}, { kid: "ec-1" }))).status === 202);
      const { fetches } = provider;
      const begun = Date.now();
      const strangers = Array.from({ length: 200 }, (_, at) =>
        world.call(provider.token({}, { named: `stranger-${at}` })),
      );
      for (const refused of await Promise.all(strangers)) assert.equal(refused.status, 401);
      const intervals = Math.ceil((Date.now() - begun) / 1000);
      assert.ok(provider.fetches - fetches <= intervals + 1, `${provider.fetches - fetches} fetches in ${intervals} s`);
    });

    const troubles = {
      down: "refused",
      redirect: "refused",
      garbage: "discovery_unusable",
      huge: "too_long",
      silent: "timeout",
    };
    for (const [mode, outcome] of Object.entries(troubles)) {
      test(`a provider that is ${mode}: its last good keys stay`, async () => {
        const { provider } = world;
        const failures = () => world.metric("trunkline_azure_identity_fetches_total", `outcome="${outcome}"`);
        const before = await failures();
        provider.mode = mode;
        try {
          await until("a fetch in vain", async () => {
            assert.equal((await world.call(provider.token({}, { named: "rsa-9" }))).status, 401);
            return (await failures()) > before;
          });
          assert.equal((await world.call(provider.token())).status, 202);
        } finally {
          provider.mode = "up";
        }
      });
    }
  });

  test("a provider that was not there at the start: 503 until it is", async () => {
    const world = await IdentityWorld.start({ mode: "down" });
    try {
      const early = await world.call(world.provider.token());
      assert.deepEqual([early.status, early.code], [503, "IdentityProviderUnavailable"]);
      world.provider.mode = "up";
      await until("its keys", async () => (await world.call(world.provider.token())).status === 202);
      assert.ok((await world.metric("trunkline_azure_identity_fetches_total", 'outcome="refused"')) >= 1);
    } finally {
      await world.stop();
    }
  });
}
