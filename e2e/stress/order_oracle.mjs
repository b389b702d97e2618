// Who has to hear what: judges what app servers and clients wrote down, knowing nothing of how Trunkline works.
//
// A life is one socket, from its connect to its end. Its *home* is the app server that got its `connect`; the others
// are *foreign*.
//
// 1. Home. The home's log, read from top to bottom, says at each entry whether the socket is there and in which rooms.
//    So it says exactly which of the home's messages (emits, broadcasts, acknowledgements) the socket gets, each once,
//    in the order of the log. No interleaving has any say in this.
// 2. Foreign. A broadcast of another app server races with what the home does. It takes effect for this socket at one
//    *place*: between two entries of the home's log (place p is behind entry p and before p + 1). All freedom is in the
//    choice of places:
//    a. In the order of the foreign log, places never go back; nor do the messages in the transcript.
//    b. A broadcast that was delivered has a place where the rooms select the socket; one that was not has a place
//       where they do not, or where the socket is not yet, or no longer, there.
//    c. A delivered one has its place between the home's messages that came before and after it in the transcript.
//    d. Time: what the client had already received when the broadcast was called lies before its place; what the home
//       called after the client had received the broadcast lies behind.
//    When such places exist the transcript is legal, when they do not it is a violation. The earliest place that fits
//    is taken each time: it leaves the most room to those behind.
// 3. Loss. A client that left, or was cut off, misses an end of all this and nothing in the middle. One that the app
//    disconnected has everything that was sent before, and nothing that was sent after. Volatile messages may be
//    missing; when they come, they come once and in their place.
// 4. Up. What a client sent arrives at its home in order, once, whole; all of it as long as the socket lives. When it
//    ends, whoever ended it, an end may be missing: Socket.IO hands an event to the app a moment after it came, and not
//    at all when the disconnect came along with it. The same holds of acknowledgements.
// 5. Nothing before the connect, nothing after the disconnect, on either side; and the reasons on both sides fit.
import { judgeForeign } from "./order_foreign.mjs";
import { homesOf, timelineOf } from "./order_timeline.mjs";

const CUT_REASONS = ["transport close", "transport error", "ping timeout"];
const REASONS = {
  alive: { home: [undefined], client: [undefined] },
  ended: { home: ["server namespace disconnect"], client: ["io server disconnect"] },
  left: { home: ["client namespace disconnect", "server namespace disconnect"], client: ["io client disconnect"] },
  // The app may have ended it while its streams were being cut; the home may not yet know that they are cut.
  cut: { home: [undefined, "server namespace disconnect", ...CUT_REASONS], client: CUT_REASONS },
};

/** `logs`: `{ server, entries }` each. `lives`: `{ s, client, events }` each. */
export function check({ logs, lives }) {
  const report = { violations: [], deliveries: 0, operations: 0, foreign: 0 };
  const homes = homesOf(logs, (what) => report.violations.push(what));
  for (const { entries } of logs)
    report.operations += entries.filter(({ op }) => !["connect", "got", "answer", "gone"].includes(op)).length;
  const seen = new Set();
  for (const life of lives) {
    const say = (what) =>
      report.violations.push(`client ${life.client} (${life.mode}), socket ${life.socket}: ${what}`);
    if (seen.has(life.socket)) say("had this id before");
    seen.add(life.socket);
    judgeLife(life, logs, homes.get(life.socket), report, say);
  }
  for (const socket of homes.keys())
    if (!seen.has(socket)) report.violations.push(`socket ${socket}: no client knows of it`);
  return report;
}

function judgeLife(life, logs, home, report, say) {
  report.operations += life.events.filter(({ kind }) => ["said", "left", "cut"].includes(kind)).length;
  if (home === undefined) return say("no app server knows of it");
  const timeline = timelineOf(home);
  const ending = endingOf(life, timeline, say);
  judgeBounds(life, ending, home, say);
  const heard = judgeHome(life, timeline, ending, say);
  judgeOrigins(heard, logs, home.log, say);
  heard.connectedAt = life.events[0].time;
  for (const log of logs) if (log !== home.log) report.foreign += judgeForeign({ timeline, log, heard, ending, say });
  report.deliveries += heard.length + judgeUp(life, home, ending, say);
}

/** How it ended: `alive` (not at all), `ended` by the app, `left`, `cut`. */
function endingOf({ events }, { endedByApp }, say) {
  const disconnect = events.find(({ kind }) => kind === "disconnect");
  if (disconnect === undefined) return endedByApp ? "ended" : "alive";
  if (disconnect.reason === "io server disconnect") return "ended";
  if (disconnect.reason === "io client disconnect") return "left";
  // A cut that meets no stream, between two polls, has no effect; but without a cut no stream may break.
  if (!events.some(({ kind }) => kind === "cut"))
    say(`lost its connection (${disconnect.reason}) though nobody cut it`);
  return "cut";
}

function judgeBounds({ events }, ending, { own, log }, say) {
  const end = events.findIndex(({ kind }) => kind === "disconnect");
  if (events[0]?.kind !== "connect") say("something came before the connect");
  if (end >= 0 && end < events.length - 1) say(`after its disconnect came ${show(events[end + 1])}`);
  const gone = own.findIndex((at) => log.entries[at].op === "gone");
  if (gone >= 0 && gone < own.length - 1)
    say(`the app server saw ${show(log.entries[own[gone + 1]])} after its disconnect`);
  const reasons = { client: events[end]?.reason, home: log.entries[own[gone]]?.reason };
  for (const side of ["client", "home"]) {
    if (!REASONS[ending][side].includes(reasons[side])) say(`${ending}, but the ${side}'s reason is ${reasons[side]}`);
  }
}

/** Rule 1; returns the received messages: the home's with their entry, the others with the entries around them. */
function judgeHome({ events }, { expected, mandatory, start }, ending, say) {
  const heard = events
    .filter(({ kind }) => kind === "heard" || kind === "acked")
    .map((event) => ({ ...event, key: event.id ?? `ack ${event.number}` }));
  let place = start;
  for (const event of heard) {
    if (event.bad) say(`${event.key} is not what was sent`);
    event.after = place;
    const at = expected.get(event.key);
    if (at === undefined) {
      event.isForeign = true;
      continue;
    }
    if (at <= place) say(`${event.key} came twice or out of order`);
    else {
      for (const missed of mandatory)
        if (missed.at > place && missed.at < at) say(`${missed.key} is missing before ${event.key}`);
      place = at;
    }
    event.at = at;
  }
  if (ending === "alive" || ending === "ended") {
    for (const { at, key } of mandatory) if (at > place) say(`${key} is missing at the end`);
  }
  let before = Infinity;
  for (const event of heard.toReversed()) {
    event.before = before;
    if (event.at !== undefined) before = event.at;
  }
  return heard;
}

/** A message that is not expected from the home must be a broadcast of another app server. */
function judgeOrigins(heard, logs, home, say) {
  const others = logs.filter((log) => log !== home).map(({ server }) => `${server}:`);
  for (const { isForeign, key } of heard) {
    if (isForeign && !others.some((prefix) => key.startsWith(prefix)))
      say(`${key} came though the home's order does not send it here`);
  }
}

/**
 * Rule 4. In Socket.IO, handlers of events run a moment later than those of acknowledgements: each has its own order.
 */
function judgeUp({ events }, { own, log }, ending, say) {
  let count = 0;
  const entries = own.map((at) => log.entries[at]);
  for (const [kind, op, key] of [
    ["said", "got", "number"],
    ["answered", "answer", "id"],
  ]) {
    const sent = events.filter((event) => event.kind === kind).map((event) => event[key]);
    const got = entries.filter((entry) => entry.op === op);
    count += got.length;
    const wrong = got.findIndex((entry, index) => entry[key] !== sent[index]);
    if (wrong >= 0) say(`of what it ${kind}, ${got[wrong][key]} arrived where ${sent[wrong]} was due`);
    if (got.length < sent.length && ending === "alive") say(`${sent[got.length]}, which it ${kind}, never arrived`);
    for (const entry of got) if (entry.bad) say(`${entry[key]}, which it ${kind}, is not what was sent`);
  }
  return count;
}

function show({ time, ...rest }) {
  return JSON.stringify(rest);
}
