/** The JWT that opens a trunk (`spec/trunk.md`, section 1): HS256 over the UTF-8 bytes of the hub's key. */
import { createHmac } from "node:crypto";

const LIFE_S = 5 * 60;

/** Signs a token that opens a trunk. */
export function signToken(hub: string, key: string, nowMs: number = Date.now()): string {
  const iat = Math.floor(nowMs / 1000);
  const head = base64url({ alg: "HS256", typ: "JWT" });
  const body = base64url({ aud: "trunkline", hub, iat, exp: iat + LIFE_S });
  const signature = createHmac("sha256", key).update(`${head}.${body}`).digest("base64url");
  return `${head}.${body}.${signature}`;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
