// The content of messages, made from their id alone, so that the receiver can check that it is complete.

const LARGE_EVERY = 211;
const LARGE_BYTES = 20_000;

/** Texts, objects, bytes, bytes inside objects; sometimes a large one. */
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

/** The bytes of a value: `JSON.stringify` calls `toJSON` of a buffer first. */
function bytesOf(value) {
  return value?.type === "Buffer" && Array.isArray(value.data) ? Buffer.from(value.data).toString("base64") : value;
}
