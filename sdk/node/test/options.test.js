import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { Server } from "socket.io";
import { DEVELOPMENT_KEY, useTrunkline } from "../dist/esm/index.js";
import { resolveOptions } from "../dist/esm/options.js";
import { Backoff } from "../dist/esm/trunk/backoff.js";
import { signToken } from "../dist/esm/trunk/token.js";

const hrefs = (options, env = {}) => resolveOptions(options, env).endpoints.map((url) => url.href);

test("defaults are those of `trunkline dev`", () => {
  const { hub, key } = resolveOptions(undefined, {});
  assert.deepEqual([hub, key()], ["default", DEVELOPMENT_KEY]);
  assert.equal(DEVELOPMENT_KEY, "trunkline-development-key-do-not-use-in-production");
  assert.deepEqual(hrefs(undefined), ["ws://127.0.0.1:8080/trunk/v1"]);
});

const ENDPOINTS = [
  ["http://a:1", ["ws://a:1/trunk/v1"]],
  ["https://a", ["wss://a/trunk/v1"]],
  ["ws://a:1/", ["ws://a:1/trunk/v1"]],
  ["wss://a/pre/fix/", ["wss://a/pre/fix/trunk/v1"]],
  [
    ["http://a:1", "http://b:2", "http://a:1/"],
    ["ws://a:1/trunk/v1", "ws://b:2/trunk/v1"],
  ],
];
for (const [endpoint, expected] of ENDPOINTS) {
  test(`endpoint ${JSON.stringify(endpoint)}`, () => assert.deepEqual(hrefs({ endpoint }), expected));
}

test("option beats connection string beats environment", () => {
  const env = { TRUNKLINE_ENDPOINT: "http://e:1, http://f:2", TRUNKLINE_HUB: "eh", TRUNKLINE_KEY: "ek" };
  assert.deepEqual(hrefs({}, env), ["ws://e:1/trunk/v1", "ws://f:2/trunk/v1"]);
  const fromEnv = resolveOptions({}, env);
  assert.deepEqual([fromEnv.hub, fromEnv.key()], ["eh", "ek"]);
  const connectionString = "endpoint=http://c;ACCESSKEY=a=b==;Port=88;Version=1.0;";
  assert.deepEqual(hrefs({ connectionString }, env), ["ws://c:88/trunk/v1"]);
  assert.equal(resolveOptions({ connectionString }, env).key(), "a=b==");
  assert.equal(resolveOptions({ connectionString, key: "own" }, env).key(), "own");
  assert.deepEqual(hrefs({ connectionString, endpoint: "http://o" }, env), ["ws://o/trunk/v1"]);
});

const MISTAKES = [
  [{ endpont: "http://a" }, /unknown option "endpont"/],
  [{ endpoint: 5 }, /"endpoint" must be .* not number/],
  [{ endpoint: [] }, /"endpoint" must be .* not a list/],
  [{ endpoint: ["http://a", null] }, /"endpoint" must be .* not null/],
  [{ endpoint: "a b" }, /"endpoint" is not a URL/],
  [{ endpoint: "ftp://a" }, /"endpoint" must start with .*not ftp:/],
  [{ endpoint: "http://a/?x=1" }, /"endpoint" is an address and a path prefix/],
  [{ endpoint: "http://u:p@a/" }, /"endpoint" is an address and a path prefix/],
  [{ hub: "" }, /"hub" must be .* not an empty string/],
  [{ hub: {} }, /"hub" must be .* not object/],
  [{ key: 7 }, /"key" must be .* not number/],
  [{ direct: 1 }, /"direct" must be true or false, not number/],
  [{ open: "later" }, /"open" must be "auto" or "manual", not string/],
  [{ open: true }, /"open" must be "auto" or "manual", not boolean/],
  [{ close: false }, /"close" must be "paced" or "at once", not boolean/],
  [{ everyRequest: 1 }, /"everyRequest" must be true or false, not number/],
  [{ rehome: "no" }, /"rehome" must be true or false, not string/],
  [{ handOverTimeout: "5s" }, /"handOverTimeout" must be a number of milliseconds, up to 2147483647, not string/],
  [{ handOverTimeout: -1 }, /"handOverTimeout" must be a number of milliseconds/],
  [{ handOverTimeout: NaN }, /"handOverTimeout" must be a number of milliseconds/],
  [{ tls: true }, /"tls" must be an object/],
  [{ connectionString: 1 }, /"connectionString" must be a string/],
  [{ connectionString: "AccessKey=k" }, /"connectionString" has no Endpoint/],
  [{ connectionString: "Endpoint=http://a;AccessKey=" }, /"connectionString" has no AccessKey/],
  [{ connectionString: "Endpoint=http://a;AccessKey=k;Version=2.0" }, /Version=2.0/],
  [{ connectionString: "Endpoint=http://a;AccessKey=k;Port=x" }, /Port=x/],
  [{ connectionString: "Endpoint=http://a;secret" }, /has a part without/],
  [null, /"options" must be an object/],
];
for (const [options, message] of MISTAKES) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(
      () => resolveOptions(options === null ? null : options, {}),
      (error) => error instanceof TypeError && message.test(error.message),
    );
  });
}

test("a mistake does not show the key", () => {
  assert.throws(
    () => resolveOptions({ connectionString: "Endpoint=http://a;my-secret" }, {}),
    (error) => !error.message.includes("my-secret"),
  );
});

test("what is no Socket.IO server is refused, and so is a second call", async () => {
  assert.throws(() => useTrunkline({}), /must be a Server of socket.io/);
  assert.throws(() => useTrunkline(undefined), TypeError);
  const io = new Server();
  const trunkline = useTrunkline(io);
  assert.throws(() => useTrunkline(io), /behind Trunkline already/);
  await trunkline.close();
});

test("the token is what the spec says", () => {
  const token = signToken("hüb", "schlüssel", 1_700_000_000_999);
  const [head, body, signature] = token.split(".");
  assert.deepEqual(JSON.parse(Buffer.from(head, "base64url")), { alg: "HS256", typ: "JWT" });
  assert.deepEqual(JSON.parse(Buffer.from(body, "base64url")), {
    aud: "trunkline",
    hub: "hüb",
    iat: 1_700_000_000,
    exp: 1_700_000_300,
  });
  assert.equal(
    signature,
    createHmac("sha256", Buffer.from("schlüssel", "utf8")).update(`${head}.${body}`).digest("base64url"),
  );
});

test("delays double from 100 ms, each times 0.5 to 1.5, and none is longer than 5 s", () => {
  const middle = new Backoff(() => 0.5);
  assert.deepEqual(
    Array.from({ length: 9 }, () => middle.next()),
    [100, 200, 400, 800, 1600, 3200, 3750, 3750, 3750],
  );
  middle.reset();
  assert.equal(middle.next(), 100);
  assert.equal(new Backoff(() => 0).next(), 50);
  const longest = new Backoff(() => 0.999999);
  const delays = Array.from({ length: 9 }, () => longest.next());
  assert.ok(delays[0] > 149 && delays[0] < 150);
  assert.ok(
    delays.every((delay) => delay < 5000),
    String(delays),
  );
});
