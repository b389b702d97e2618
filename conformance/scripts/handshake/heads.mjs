// Request heads that a proxy and a server may read differently: what HTTP requires for them.
const HEAD = (path) => [`GET ${path} HTTP/1.1`, "Host: x", "", ""];
const joined = (lines, end = "\r\n") => lines.join(end);

export const table = {
  "HTTP/1.1 without a host": (path) => joined([`GET ${path} HTTP/1.1`, "Accept: */*", "", ""]),
  "HTTP/1.1 with an empty host": (path) => joined([`GET ${path} HTTP/1.1`, "Host:", "", ""]),
  "HTTP/1.1 with two hosts": (path) => joined([`GET ${path} HTTP/1.1`, "Host: x", "Host: y", "", ""]),
  "HTTP/1.0 without a host": (path) => joined([`GET ${path} HTTP/1.0`, "", ""]),
  "bare line feeds everywhere": (path) => joined(HEAD(path), "\n"),
  "a bare line feed after the request line": (path) => joined(HEAD(path)).replace("\r\n", "\n"),
  "a bare line feed after a header": (path) => joined(HEAD(path)).replace("x\r\n", "x\n"),
  "a bare line feed at the end of the head": (path) => joined(HEAD(path)).replace(/\r\n$/, "\n"),
  "an empty line before the request": (path) => `\r\n${joined(HEAD(path))}`,
  "a head in pieces": (path) => joined(HEAD(path)).split(""),
};

export async function run(t, request) {
  const stream = await t.stream();
  const answer = stream.answer();
  for (const piece of [request(t.url())].flat()) stream.write(piece);
  const { status, body } = (await answer) ?? {};
  t.log("answer", { status, open: body?.startsWith("0{") ?? false });
  if (status === 400) t.log("stream", await stream.end);
}
