// The result for every client that was cut off: judged from what it received, what was sent, and what the app servers
// saw.
import { MODES } from "./recovery_client.mjs";

/**
 * `clients`: `{ number, mode, rooms, first, returns, heard, home, server }` for each. `sent`: the broadcasts of each
 * app server, `[name, list]`. `reports`: from the app servers.
 */
export function judge({ clients, sent, reports }) {
  const middlewares = reports.reduce((sum, report) => sum + report.middlewares, 0);
  const arrivals = reports.flatMap((report) => report.arrivals);
  return clients.map((client) => {
    const { number, mode, first, returns } = client;
    const [back, ...more] = arrivals.filter(({ client, at }) => client === number && at > first.at);
    const isBack = returns.length === 1 && back !== undefined && more.length === 0;
    return {
      mode,
      // `skipMiddlewares` is on: each client passed them when it first connected.
      recovered: isBack && returns[0].recovered && back.recovered && middlewares === clients.length,
      same:
        isBack &&
        returns[0].id === first.id &&
        back.id === first.id &&
        equal(back.rooms, first.rooms) &&
        equal(back.data, first.data),
      inOrder:
        sent.every(([name, list]) => isExact(client, name, list)) &&
        client.heard.every((id) => sent.some(([name]) => id.startsWith(`${name}:`))),
      moved: client.server !== client.home,
    };
  });
}

/** Whether the client received every broadcast of one app server that is for it, once, in the order of the calls. */
function isExact(client, name, list) {
  const expected = list.filter((broadcast) => isAddressed(client, broadcast)).map(({ id }) => id);
  return equal(
    client.heard.filter((id) => id.startsWith(`${name}:`)),
    expected,
  );
}

/** A client's rooms never change. */
function isAddressed(client, { rooms, except }) {
  const own = [...client.rooms, client.first.id];
  return (rooms.length === 0 || rooms.some((room) => own.includes(room))) && !except.some((room) => own.includes(room));
}

function equal(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Percentages of all clients, and by how they were connected. */
export function summary(fates) {
  const share = (some, name) => (some.filter((fate) => fate[name]).length / some.length) * 100;
  return ["all", ...MODES].map((mode) => {
    const some = fates.filter((fate) => mode === "all" || fate.mode === mode);
    const shares = ["recovered", "same", "inOrder", "moved"].map((name) => [name, share(some, name)]);
    return { mode, clients: some.length, ...Object.fromEntries(shares) };
  });
}
