// JSON Web Tokens, signed with a hub's key.
import { createHmac } from "node:crypto";

/** The key of `trunkline dev`. */
export const DEVELOPMENT_KEY = "trunkline-development-key-do-not-use-in-production";

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The present time in the unit of claims. */
export const epochSeconds = () => Math.floor(Date.now() / 1000);

/** A token with these claims, signed by HS256; with another `alg` it has no signature. */
export function signToken(claims, { key = DEVELOPMENT_KEY, alg = "HS256" } = {}) {
  const signed = `${encode({ alg, typ: "JWT" })}.${encode(claims)}`;
  return alg === "HS256" ? `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}` : `${signed}.`;
}

/** A token for a trunk, as an SDK makes it. */
export function trunkToken({ key, hub = "default", claims = {} } = {}) {
  const now = epochSeconds();
  return signToken({ aud: "trunkline", hub, iat: now, exp: now + 60, ...claims }, { key });
}
