// Binary from the client, many attachments and nested, as the app gets it.
const holder = (num) => ({ _placeholder: true, num });

export const table = {
  ten: [['4510-["b",' + Array.from({ length: 10 }, (_, n) => JSON.stringify(holder(n))) + "]"], 10],
  nested: [['452-["b",{"a":[{"_placeholder":true,"num":1}],"b":{"_placeholder":true,"num":0}}]'], 2],
  "one placeholder used twice": [['451-["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]'], 1],
  "attachment without a placeholder": [['451-["b",1]'], 1],
  "two events one after the other": [
    ['451-["b",{"_placeholder":true,"num":0}]', '451-["c",{"_placeholder":true,"num":0}]'],
    1,
  ],
  "in another namespace": [['451-/admin,["b",{"_placeholder":true,"num":0}]'], 1],
};

export function app(io, log) {
  for (const name of ["/", "/admin"]) {
    io.of(name).on("connection", (socket) => socket.onAny((...args) => log(`event in ${name}`, args)));
  }
}

export async function run(t, [headers, attachments]) {
  const ws = await t.direct({ join: true });
  await ws.text("40/admin,").next();
  for (const header of headers) {
    ws.text(header);
    for (let n = 0; n < attachments; n++) ws.binary(Buffer.from([n, n + 1]));
  }
  await t.saw(headers[0].includes("/admin") ? "event in /admin" : "event in /", { count: headers.length });
}
