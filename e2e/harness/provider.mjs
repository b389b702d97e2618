// An identity provider on this machine: its keys, a discovery document, a JWK set, and valid and invalid tokens.
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

/** The `aud` of tokens for Azure Web PubSub. */
export const AUDIENCE = "https://webpubsub.azure.com";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** `mode` is how it answers: "up", "down" (500), "redirect", "garbage", "silent", "huge". */
export class Provider {
  keys = new Map();
  mode = "up";
  /** How often the JWK set was requested. */
  fetches = 0;

  static async start() {
    const provider = new Provider();
    provider.addKey("rsa-1", "RS256");
    provider.server = createServer((request, response) => provider.#answer(request, response));
    provider.server.listen(0, "127.0.0.1");
    await once(provider.server, "listening");
    return provider;
  }

  get issuer() {
    return `http://127.0.0.1:${this.server.address().port}/tenant`;
  }
  get jwksUrl() {
    return `${this.issuer}/keys`;
  }

  addKey(kid, alg) {
    const made =
      alg === "ES256"
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.keys.set(kid, { ...made, alg });
  }

  #answer(request, response) {
    const { pathname } = new URL(request.url, this.issuer);
    if (pathname === "/tenant/token") return response.end(this.token());
    if (pathname === "/tenant/keys") this.fetches += 1;
    if (this.mode === "down") return response.writeHead(500).end();
    if (this.mode === "redirect") return response.writeHead(302, { location: "/elsewhere/keys" }).end();
    if (this.mode === "garbage") return response.end("<html>sign in</html>");
    if (this.mode === "huge") return response.end(`{"keys":[${"1,".repeat(1 << 20)}1]}`);
    if (this.mode === "silent") return;
    if (pathname === "/tenant/.well-known/openid-configuration") {
      return response.end(JSON.stringify({ issuer: this.issuer, jwks_uri: this.jwksUrl }));
    }
    if (!pathname.endsWith("/keys")) return response.writeHead(404).end();
    const keys = [...this.keys].map(([kid, { publicKey, alg }]) => ({
      ...publicKey.export({ format: "jwk" }),
      kid,
      use: "sig",
      alg,
    }));
    response.end(JSON.stringify({ keys: [{ kty: "oct", kid: "not-for-you", k: "c2VjcmV0" }, ...keys] }));
  }

  /** A token for an app server; `kid` is the key that signs, `named` the key that the token names. */
  token(claims = {}, { kid = "rsa-1", named = kid, alg = this.keys.get(kid).alg } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const all = {
      iss: this.issuer,
      aud: AUDIENCE,
      sub: "app",
      roles: ["owner"],
      nbf: now,
      iat: now,
      exp: now + 600,
      ...claims,
    };
    const text = `${base64url({ typ: "JWT", alg, kid: named })}.${base64url(all)}`;
    const { privateKey: key } = this.keys.get(kid);
    return `${text}.${sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }

  /** The classic forgery: the public key, which everyone has, as the secret of HS256. */
  forged(kid = "rsa-1") {
    const [, claims] = this.token().split(".");
    const text = `${base64url({ typ: "JWT", alg: "HS256", kid })}.${claims}`;
    const secret = this.keys.get(kid).publicKey.export({ type: "spki", format: "pem" });
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  }

  unsigned(kid = "rsa-1") {
    const [, claims] = this.token().split(".");
    return `${base64url({ typ: "JWT", alg: "none", kid })}.${claims}.`;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}
