// What the messages carry beside their id: made from the id alone, so that whoever gets it can tell whether it is
// whole.

const LARGE_EVERY = 211;
const LARGE_BYTES = 20_000;

/** Texts, objects, bytes, bytes inside objects; now and then a large one. */
export function payloadOf(number) {
  const bytes = number % LARGE_EVERY === 0 ? LARGE_BYTES : number % 97;
  if (number % 5 === 0) return Buffer.alloc(bytes, number % 256);
  if (number % 7 === 0) return { number, parts: [Buffer.alloc(bytes, number % 256), "é→😀"] };
  return number % 2 === 0 ? "x".repeat(bytes) : { number, list: [null, true, bytes] };
}

export function isWhole(number, payload) {
  return signature(payload) === signature(payloadOf(number));
}

function signature(value) {
  return JSON.stringify(value, (_key, one) =>
    one instanceof Uint8Array ? Buffer.from(one).toString("base64") : bytesOf(one),
  );
}

/** `JSON.stringify` has called `toJSON` of a buffer before anybody else sees it. */
function bytesOf(value) {
  return value?.type === "Buffer" && Array.isArray(value.data) ? Buffer.from(value.data).toString("base64") : value;
}
