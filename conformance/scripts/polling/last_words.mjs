// A last event, followed by the end of the session: in one payload the end overtakes the event, in two the app receives
// both.
export const table = {
  "disconnect and close in two posts": [["41"], ["1"]],
  "disconnect and close in one payload": [["41", "1"]],
  "event and close in two posts": [['42["last"]'], ["1"]],
  "event and close in one payload": [['42["last"]', "1"]],
  "event and nonsense in one payload": [['42["last"]', "9nonsense"]],
};

export function app(io, log) {
  io.on("connection", (socket) => {
    socket.on("last", () => log("last", undefined, "a"));
    // Events in the ticks after the end would still be logged.
    socket.on("disconnect", (reason) => setImmediate(() => log("disconnect", reason, "a")));
  });
}

export async function run(t, posts) {
  const session = await t.polling({ join: true });
  for (const packets of posts) t.log("POST", await session.post(packets.join("\x1e")));
  await t.saw("disconnect");
}
