// Acknowledgements that the app asks for: answered, with binary, late, twice, unknown, never.
export function app(io, log) {
  io.on("connection", (socket) => {
    socket.on("begin", () => {
      socket
        .timeout(1000)
        .emit("question", 1, (error, ...answer) => log("answer", [error?.message ?? null, ...answer]));
    });
    socket.on("promise", async () => {
      const told = await socket
        .timeout(1000)
        .emitWithAck("question", 2)
        .catch((error) => `failed: ${error.message}`);
      log("answer", [null, told]);
    });
    socket.on("without timeout", () => socket.emit("question", 3, (...answer) => log("answer", answer)));
    socket.on("echo", () => socket.emit("echo"));
    socket.on("disconnect", (reason) => log("disconnect", reason));
  });
}

export const table = {
  answered: ["begin", (ws) => ws.text('430["yes",2]')],
  "answered without arguments": ["begin", (ws) => ws.text("430[]")],
  "answered with binary": ["begin", (ws) => ws.text('461-0[{"_placeholder":true,"num":0}]').binary(Buffer.from([5]))],
  "answered twice": ["begin", (ws) => ws.text("430[1]").text("430[2]")],
  "unknown id": ["begin", (ws) => ws.text("437[1]").text("430[2]")],
  never: ["begin", () => {}],
  "a promise, answered": ["promise", (ws) => ws.text("430[1]")],
  "a promise, never": ["promise", () => {}],
  "without timeout": ["without timeout", (ws) => ws.text('430["a"]')],
};

export async function run(t, [start, answer]) {
  const ws = await t.direct({ join: true });
  t.log("question", await ws.text(`42["${start}"]`).next());
  answer(ws);
  await t.saw("answer");
  t.log("alive", await ws.text('42["echo"]').next());
}
