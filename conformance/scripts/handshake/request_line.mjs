// Bytes in a request's URL that should be percent-encoded and are not: which are accepted, and what the app sees.
const ROWS = [
  '"',
  "<",
  ">",
  "`",
  "^",
  "{",
  "}",
  "|",
  "\\",
  "[",
  "]",
  "'",
  "#",
  "%zz",
  "\u{e9}",
  "\u{ff}",
  "\u{c3}\u{a9}",
  "\u{7f}",
  "\u{1}",
  "\t",
];

export const table = {
  ...Object.fromEntries(ROWS.map((text) => [`in the query: ${JSON.stringify(text)}`, { query: `q=a${text}b` }])),
  "all of them in pieces": { query: 'q="<>`&r={}|^', pieces: true },
  "in the method": { method: 'G"ET' },
};

export function app(io, log) {
  io.engine.on("connection", (conn) => {
    const { q, r } = conn.request._query;
    log("query", { q, r });
  });
}

export async function run(t, { method = "GET", query = "q=1", pieces = false }) {
  const stream = await t.stream();
  const answer = stream.answer();
  const target = `/socket.io/?EIO=4&transport=polling&${query}`;
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`, "latin1");
  for (const piece of pieces ? [...head].map((byte) => Buffer.from([byte])) : [head]) stream.write(piece);
  const { status, body } = (await answer) ?? {};
  t.log("answer", { status, open: body?.startsWith("0{") ?? false });
  if (status === 200) await t.saw("query");
}
