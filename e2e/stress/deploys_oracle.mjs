// Judges what app servers and clients wrote down while app servers came, left, crashed and lost their streams.
//
// 1. What a client said was handled at most once, in the order in which it was said, over all app servers; what was
//    acknowledged was handled; no acknowledgement is left that neither came nor failed.
// 2. Of the broadcasts of each app server a client heard, while it was the same socket, each once, in order, without a
//    gap between the first and the last; and all of them up to the last one, if the app server did not crash.
// 3. A socket is at one app server at a time, except for the moment of a crash, which an app server cannot note.

/**
 * `logs`: `{ server, crashedAt, entries }` each, in any order; `clients`: `DeployClient`s. `homes: false` leaves rule 3
 * out: an app server whose trunk is cut learns late that its sockets have moved. `ofSockets: true` judges the order of
 * what was handled for each socket of a client alone: a node that hung brings what the client said as an earlier socket
 * when it wakes, as a process of plain Socket.IO does.
 */
export function judge(logs, clients, { homes = true, ofSockets = false } = {}) {
  const violations = [];
  const all = logs.flatMap(({ server, entries }) => entries.map((entry) => ({ server, ...entry })));
  all.sort((a, b) => a.at - b.at);
  const handled = new Map();
  for (const { op, client, number, socket, server, what } of all) {
    if (op === "wrong") violations.push(`client ${client}: ${what} at ${server}`);
    if (op !== "handled") continue;
    if (!handled.has(client)) handled.set(client, []);
    handled.get(client).push({ number, order: ofSockets ? socket : client });
  }
  const lastCasts = new Map(
    logs
      .filter(({ crashedAt }) => crashedAt === undefined)
      .map(({ server, entries }) => [server, entries.findLast(({ op }) => op === "cast")?.number]),
  );
  const counts = { said: 0, acked: 0, failed: 0, lost: 0, doubled: 0, news: 0, gaps: 0 };
  for (const client of clients) {
    judgeSaid(client, handled.get(client.number) ?? [], counts, violations);
    judgeHeard(client, lastCasts, counts, violations);
  }
  if (homes) judgeHomes(logs, all, violations);
  return { violations, counts, casts: all.filter(({ op }) => op === "cast").length, all };
}

function judgeSaid({ number: client, said }, handled, counts, violations) {
  const say = (what) => violations.push(`client ${client}: ${what}`);
  const times = new Map();
  const lasts = new Map();
  for (const { number, order } of handled) {
    times.set(number, (times.get(number) ?? 0) + 1);
    const last = lasts.get(order) ?? -1;
    if (number < last) say(`${number} was handled after ${last}`);
    lasts.set(order, Math.max(last, number));
  }
  for (const { number, outcome } of said) {
    counts.said += 1;
    const often = times.get(number) ?? 0;
    if (often > 1) {
      counts.doubled += 1;
      say(`${number} was handled ${often} times`);
    }
    if (outcome === "pending") {
      counts.lost += 1;
      say(`${number} has neither an answer nor an error; it was handled ${often} times`);
    } else {
      counts[outcome] += 1;
      if (outcome === "acked" && often === 0) say(`${number} was acknowledged, and nobody handled it`);
    }
  }
}

function judgeHeard({ number: client, heard, life }, lastCasts, counts, violations) {
  for (const [key, numbers] of heard) {
    const [ofLife, server] = key.split(" ");
    const last = lastCasts.get(server);
    if (Number(ofLife) === life && last !== undefined && numbers.at(-1) !== last) {
      counts.gaps += last - numbers.at(-1);
      violations.push(`client ${client}: of ${server} it heard ${numbers.at(-1)} last, and not ${last}`);
    }
    counts.news += numbers.length;
    for (let at = 1; at < numbers.length; at += 1) {
      const step = numbers[at] - numbers[at - 1];
      if (step === 1) continue;
      if (step > 1) counts.gaps += step - 1;
      else counts.doubled += 1;
      violations.push(`client ${client}: of ${server}, ${numbers[at]} came after ${numbers[at - 1]}`);
    }
  }
}

function judgeHomes(logs, all, violations) {
  const crashed = new Map(logs.map(({ server, crashedAt }) => [server, crashedAt ?? Infinity]));
  const homes = new Map();
  for (const { op, socket, server, at } of all) {
    if (op === "came") {
      const home = homes.get(socket);
      if (home !== undefined && crashed.get(home) > at)
        violations.push(`socket ${socket} is at ${home}, and came to ${server}`);
      homes.set(socket, server);
    } else if (op === "went" && homes.get(socket) === server) homes.delete(socket);
  }
}
