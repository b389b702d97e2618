// More header lines than servers usually allow: the answers, and how many of them the app sees.
const lines = (count) => Array.from({ length: count }, (_, index) => `x${index}: ${index % 10}\r\n`).join("");
const get = (count) => `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n${lines(count)}\r\n`;

export const table = {
  "99 beside the host": { requests: [99] },
  "100 beside the host": { requests: [100] },
  "500 beside the host": { requests: [500] },
  "1,400 beside the host": { requests: [1400] },
  "few, many, few and many": { requests: [3, 300, 2, 400] },
  "few, many, few and many in one write": { requests: [3, 300, 2, 400], together: true },
  "in pieces": { requests: [102], pieces: true },
  "two lines with one name": { requests: [120], head: (text) => text.replace("x7:", "x6:") },
};

export function app(io, log) {
  io.engine.on("connection", ({ request }) => {
    const names = Object.keys(request.headers);
    // Node.js cuts the list of raw headers somewhere after the thousandth.
    const raw = Math.min(request.rawHeaders.length, 2000);
    log("headers", { count: names.length, last: names.at(-1), six: request.headers.x6, raw });
  });
}

export async function run(t, { requests, together = false, pieces = false, head = (text) => text }) {
  const stream = await t.stream();
  const answers = [];
  const texts = requests.map((count) => head(get(count)));
  if (together) {
    for (const _ of texts) answers.push(stream.answer());
    stream.write(texts.join(""));
  }
  for (const [index, text] of texts.entries()) {
    answers[index] ??= stream.answer();
    if (!together) for (const piece of pieces ? text.match(/[^]{1,7}/g) : [text]) stream.write(piece);
    const { status, body } = (await answers[index]) ?? {};
    t.log("answer", { status, open: body?.startsWith("0{") ?? false });
  }
  await t.saw("headers", { count: requests.length });
}
