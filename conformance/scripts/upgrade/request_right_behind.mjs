// A request that the client makes right after its upgrade packet finds the session upgraded, whichever streams carry
// them.
const ROUNDS = 40;

/** The app logs nothing: the order in which it sees two streams is not fixed. */
export function app() {}

export const table = { GET: undefined, POST: "3" };

export async function run(t, body) {
  const answers = new Set();
  for (let round = 0; round < ROUNDS; round++) {
    const session = await t.polling();
    const ws = await session.websocket();
    const stream = await t.stream();
    ws.text("2probe");
    await ws.next();
    ws.text("5");
    const { status, body: said } = await stream.request(body ? "POST" : "GET", session.path, body && { body });
    answers.add(`${status} ${said}`);
  }
  t.log("answers", [...answers].sort());
}
