// The session ends over polling while a WebSocket probes: the WebSocket is closed, too.
export const table = {
  "client closes": (session) => session.post("1"),
  "client breaks a rule": (session) => session.post("9"),
};

export async function run(t, end) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  t.log("POST", await end(session));
  t.log("WebSocket", await ws.rest());
  await t.saw("close");
  t.log("GET", await session.get());
}
