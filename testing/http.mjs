// HTTP/1.1 by hand: requests as text, byte by byte as a test needs them, and answers parsed from bytes.

/** The head of a request. A header may have a list of values; undefined headers are left out. */
export function requestHead(method, path, headers = {}) {
  const lines = [`${method} ${path} HTTP/1.1`];
  for (const [name, value] of Object.entries({ host: "localhost", ...headers })) {
    for (const one of [value].flat()) if (one !== undefined) lines.push(`${name}: ${one}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** A whole request; its `content-length` is correct unless `headers` contain another one. */
export function requestText(method, path, { headers = {}, body } = {}) {
  const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
  return requestHead(method, path, { ...length, ...headers }) + (body ?? "");
}

/** The complete answers at the beginning of `bytes`, for requests with this method. */
export function parseResponses(bytes, { method = "GET", ended = false } = {}) {
  const responses = [];
  for (let rest = bytes; ; ) {
    const parsed = parseResponse(rest, method, ended);
    if (!parsed) return responses;
    responses.push(parsed.response);
    rest = rest.subarray(parsed.length);
  }
}

/**
 * The first answer and its length in bytes; undefined while it is incomplete. `ended`: no bytes follow `bytes`, so a
 * body without a length ends there.
 */
export function parseResponse(bytes, method, ended) {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine, ...lines] = bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
  const [, status, reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(statusLine) ?? [];
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = name in headers ? [headers[name], value].flat() : value;
  }
  const body = parseBody(bytes.subarray(headEnd + 4), method, Number(status), headers, ended);
  if (!body) return undefined;
  const response = { status: Number(status), reason, headers, body: body.bytes.toString() };
  return { response, length: headEnd + 4 + body.length };
}

function parseBody(rest, method, status, headers, ended) {
  if (method === "HEAD" || status < 200 || status === 204 || status === 304)
    return { bytes: Buffer.alloc(0), length: 0 };
  if (headers["transfer-encoding"] === "chunked") return parseChunks(rest);
  if (headers["content-length"] === undefined) return ended ? { bytes: rest, length: rest.length } : undefined;
  const length = Number(headers["content-length"]);
  return rest.length < length ? undefined : { bytes: rest.subarray(0, length), length };
}

function parseChunks(rest) {
  const parts = [];
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(rest.subarray(at, lineEnd).toString("latin1"), 16);
    const next = lineEnd + 2 + size + 2;
    if (rest.length < next) return undefined;
    parts.push(rest.subarray(lineEnd + 2, next - 2));
    at = next;
    if (size === 0) return { bytes: Buffer.concat(parts), length: at };
  }
}
