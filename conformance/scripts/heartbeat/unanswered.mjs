// No pong in time: the app sees "ping timeout", the client sees its end.
export const options = { pingInterval: 150, pingTimeout: 150 };

export const table = {
  websocket: { how: "direct" },
  "websocket, no namespace joined": { how: "direct", join: false },
  "polling, poll held": { how: "polling", held: true },
  "polling, nobody polls": { how: "polling", held: false },
};

export async function run(t, { how, join = true, held }) {
  const session = await t[how]({ join });
  if (how === "direct") t.log("server", await session.rest());
  if (held) for (const nth of ["first", "second", "third"]) t.log(`${nth} GET`, await session.get());
  await t.saw("close");
  if (how === "polling") t.log("afterwards", await session.get());
}
