// Values of options that differ from the documentation and that Engine.IO accepts anyway: JavaScript converts them.

export const table = {
  'pingInterval: "100", pingTimeout: "1000"': { pingInterval: "100", pingTimeout: "1000" },
  "pingInterval: 1000 / 3": { pingInterval: 1000 / 3, pingTimeout: 20_000 / 3 },
  "pingInterval: null, as good as 1": { pingInterval: null },
  "pingInterval: 0, as good as 1": { pingInterval: 0 },
  "upgradeTimeout: Infinity, as good as 1": { upgradeTimeout: 2 ** 31, transports: ["polling"] },
  'maxHttpBufferSize: "200"': { maxHttpBufferSize: "200" },
  "maxHttpBufferSize: 200.9": { maxHttpBufferSize: 200.9 },
  "maxHttpBufferSize: Infinity": { maxHttpBufferSize: Infinity },
  "maxHttpBufferSize: NaN": { maxHttpBufferSize: NaN },
  'transports: "websocket"': { transports: "websocket" },
  'transports: "polling, websocket"': { transports: "polling, websocket" },
  "transports: none": { transports: [] },
  "transports: webtransport only": { transports: ["webtransport"] },
  // A variable that is not set: `undefined` still replaces the default.
  "allowUpgrades: undefined": { allowUpgrades: undefined },
  "maxHttpBufferSize: undefined": { maxHttpBufferSize: undefined },
  "httpCompression: undefined": { httpCompression: undefined },
  "allowUpgrades: 0": { allowUpgrades: 0 },
  'allowUpgrades: "no"': { allowUpgrades: "no" },
  'allowEIO3: "true"': { allowEIO3: "true" },
  "allowEIO3: 1": { allowEIO3: 1 },
  "addTrailingSlash: undefined": { addTrailingSlash: undefined },
  "addTrailingSlash: 0, as good as true": { addTrailingSlash: 0 },
  'path: ""': { path: "" },
  "httpCompression: 1": { httpCompression: 1 },
  'httpCompression: { threshold: "100000" }': { httpCompression: { threshold: "100000" } },
  "httpCompression: { threshold: Infinity }": { httpCompression: { threshold: Infinity } },
  "httpCompression: null": { httpCompression: null },
  'perMessageDeflate: "yes"': { perMessageDeflate: "yes" },
  'perMessageDeflate: { serverMaxWindowBits: "10", threshold: "0" }': {
    perMessageDeflate: { serverMaxWindowBits: "10", threshold: "0", serverNoContextTakeover: 1 },
  },
  'connectTimeout: "5000"': { connectTimeout: "5000" },
  "connectionStateRecovery: Infinity": {
    connectionStateRecovery: { maxDisconnectionDuration: Infinity, skipMiddlewares: "yes" },
  },
  'connectionStateRecovery: "60000"': { connectionStateRecovery: { maxDisconnectionDuration: "60000" } },
};

export const options = (data) => data;

export function app(io) {
  io.on("connection", (socket) => {
    socket.on("ask", () => socket.emit("large", "x".repeat(5000)));
  });
}

export async function run(t, data) {
  for (const query of [
    { EIO: "4", transport: "polling" },
    { EIO: "3", transport: "polling" },
    { EIO: "4", transport: "websocket" },
  ]) {
    const { status, body } = await t.http("GET", t.url(query));
    const opened = status === 200 ? JSON.parse(body.slice(body.indexOf("{"))) : body;
    t.log(`${query.EIO} ${query.transport}`, [status, opened.upgrades ?? opened]);
  }
  const first = await t.http("GET", t.url());
  // With a ping each millisecond, a poll contains only pings.
  if (first.status !== 200 || data.pingInterval === null || data.pingInterval === 0) return;
  const session = await t.polling({ join: true });
  await session.post('42["ask"]');
  const large = await session.get({ "accept-encoding": "gzip" });
  t.log("compressed", [large.status, large.headers["content-encoding"]]);
  t.log("300 bytes", (await session.post(`42["other","${"y".repeat(300)}"]`))?.status);
}
