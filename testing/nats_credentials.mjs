// An operator, an account and a user of NATS, as `nsc` makes them: JSON Web Tokens signed with Ed25519.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** What a key is of: the first letter of its text, as the number of five bits that makes it. */
const KINDS = { operator: ALPHABET.indexOf("O"), account: ALPHABET.indexOf("A"), user: ALPHABET.indexOf("U") };
const SEED = ALPHABET.indexOf("S");

function base32(bytes) {
  let [text, bits, value] = ["", 0, 0];
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}

/** CRC-16 with the polynomial 0x1021, as XMODEM has it. */
function crc16(bytes) {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

function text(prefix, raw) {
  const bytes = Buffer.concat([Buffer.from(prefix), raw]);
  const crc = crc16(bytes);
  return base32(Buffer.concat([bytes, Buffer.from([crc & 0xff, crc >> 8])]));
}

function keyPair(kind) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = (key, name) => Buffer.from(key.export({ format: "jwk" })[name], "base64url");
  const number = KINDS[kind];
  return {
    privateKey,
    id: text([number << 3], raw(publicKey, "x")),
    seed: text([(SEED << 3) | (number >> 2), (number & 3) << 6], raw(privateKey, "d")),
  };
}

function token(issuer, subject, name, nats) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { jti: randomUUID(), iat: Math.floor(Date.now() / 1000), iss: issuer.id, sub: subject.id, name, nats };
  const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), issuer.privateKey).toString("base64url")}`;
}

/** The configuration of a server that knows one account, and the credentials file of a user of it. */
export function credentials() {
  const [operator, account, user] = ["operator", "account", "user"].map(keyPair);
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const operatorToken = token(operator, operator, "operator", { type: "operator", version: 2 });
  const limits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const accountToken = token(operator, account, "account", { limits, type: "account", version: 2 });
  const userToken = token(account, user, "user", { ...unlimited, type: "user", version: 2 });
  return {
    config: `operator: ${operatorToken}\nresolver: MEMORY\nresolver_preload: { ${account.id}: ${accountToken} }`,
    file: `-----BEGIN NATS USER JWT-----
${userToken}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${user.seed}
------END USER NKEY SEED------
`,
    seed: user.seed,
  };
}
