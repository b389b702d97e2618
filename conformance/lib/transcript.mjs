// Transcripts: what a script saw, one line per event. Everything that may differ from run to run is replaced by a name.

/** Headers that say nothing about the protocol: clocks, and one HTTP library's connection handling. */
const UNTOLD_HEADERS = new Set(["date", "keep-alive", "transfer-encoding"]);

export class Transcript {
  constructor() {
    this.client = new Map(); // who -> lines, because the order between two clients is not fixed; "" is the script itself
    this.app = new Map();
    this.names = new Map(); // value -> what it reads
  }

  addClient(event, data, who = "") {
    add(this.client, who, line(event, data));
  }
  addApp(who, event, data) {
    add(this.app, who, line(event, data));
  }
  name(value, name) {
    if (value !== undefined) this.names.set(value, name);
  }

  /** The lines of the script, then of each client, then of the app for each client; normalised. */
  lines(ports) {
    return normalise([...told("client", this.client), ...told("app", this.app)], ports, new Map(this.names));
  }
}

function add(lines, who, text) {
  if (!lines.has(who)) lines.set(who, []);
  lines.get(who).push(text);
}

function told(side, lines) {
  return [...lines.keys()]
    .sort()
    .flatMap((who) => lines.get(who).map((text) => `${who === "" ? side : `${side} ${who}`}  ${text}`));
}

function line(event, data) {
  if (data === undefined) return event;
  return `${event}: ${typeof data === "string" ? data.replaceAll("\x1e", "␞") : JSON.stringify(data, showBytes)}`;
}

function showBytes(_key, value) {
  if (value?.type === "Buffer") return `<bytes ${Buffer.from(value.data).toString("hex")}>`;
  if (value instanceof Uint8Array || value instanceof ArrayBuffer)
    return `<bytes ${Buffer.from(value).toString("hex")}>`;
  if (value instanceof Set) return [...value];
  if (typeof value === "function") return "<function>";
  return value;
}

/** An HTTP answer as one line: status, headers by name, body. */
export function showResponse(response) {
  if (response === undefined) return "no answer, stream closed";
  const headers = Object.entries(response.headers)
    .filter(([name, value]) => !UNTOLD_HEADERS.has(name) && !(name === "connection" && value === "keep-alive"))
    // A length that fits the body says the same as chunks do: the framing of an answer is a matter of HTTP.
    .filter(([name, value]) => name !== "content-length" || !fits(value, response))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${[].concat(value).join(" & ")}`);
  return `${response.status} ${response.reason} [${headers.join("; ")}] ${JSON.stringify(response.body)}`;
}

/** Whether the length fits; the answer to a HEAD has the length of a body that is not sent. */
function fits(length, { body }) {
  return body === "" || Number(length) === Buffer.byteLength(body);
}

function normalise(lines, ports, names) {
  const named = names.size;
  const sid = /\\?"sid\\?":\\?"([^"\\]+)\\?"/g;
  for (const text of lines) {
    for (const [, value] of text.matchAll(sid))
      if (!names.has(value)) names.set(value, `<sid ${names.size - named + 1}>`);
  }
  const longestFirst = [...names].sort(([one], [other]) => other.length - one.length);
  return lines.map((text) => {
    let told = text;
    for (const [value, name] of longestFirst) told = told.replaceAll(value, name);
    for (const port of ports) told = told.replace(new RegExp(`(?<![0-9])${port}(?![0-9])`, "g"), "<port>");
    return told;
  });
}

/** The lines that are in only one of two transcripts, in order (longest common subsequence). */
export function compare(left, right) {
  const best = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      best[i][j] = left[i] === right[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const only = { npm: [], trunkline: [] };
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) i++, j++;
    else if (j >= right.length || (i < left.length && best[i + 1][j] >= best[i][j + 1])) only.npm.push(left[i++]);
    else only.trunkline.push(right[j++]);
  }
  return only;
}
