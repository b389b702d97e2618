// The broadcasts of one other app server to one socket: rule 2 of the oracle.
import { selects } from "./order_timeline.mjs";

/** Searches a place for every broadcast in `log`; returns how many were placed. */
export function judgeForeign({ timeline, log, heard, ending, say }) {
  const foreign = delivered(log, heard, say);
  const received = landmarks(heard, timeline);
  let place = -1;
  for (const cast of log.casts) {
    const event = foreign.get(cast.id);
    if (event === undefined && (cast.volatile || cast.local)) continue;
    const floor = Math.max(place, received(cast.time));
    const found = event ? placeOfDelivered(timeline, cast, event, floor) : placeOfOther(timeline, cast, floor, ending);
    if (found === undefined)
      say(
        `${cast.id} ${event ? "came" : "did not come"}, and no place in the home's order explains it (from entry ${floor} on)`,
      );
    else place = found;
  }
  return log.casts.length;
}

/**
 * The messages that came from that app server, by id; checks that they came in the order of the log, also where no
 * message of the home lies between them.
 */
function delivered(log, heard, say) {
  const numbers = new Map(log.casts.map(({ id }, number) => [id, number]));
  const found = new Map();
  let last = -1;
  for (const event of heard) {
    if (!event.isForeign || !event.key.startsWith(`${log.server}:`)) continue;
    const number = numbers.get(event.key);
    if (number === undefined) say(`${event.key} came though it was not for this socket`);
    else if (number <= last) say(`${event.key} came twice or out of order`);
    else last = number;
    found.set(event.key, event);
  }
  return found;
}

/** For a moment, never earlier than the one before: the last entry of the home whose effect the client had seen. */
function landmarks(heard, { start }) {
  const own = heard.filter(({ at }) => at !== undefined);
  let next = 0;
  return (time) => {
    while (next < own.length && own[next].time < time) next += 1;
    return own[next - 1]?.at ?? (time > heard.connectedAt ? start : -1);
  };
}

function placeOfDelivered(timeline, cast, event, floor) {
  if (cast.local) return undefined;
  // Entries that the home made after the client received the broadcast come after its place.
  const last = Math.min(event.before - 1, timeline.end - 1, lastUntil(timeline.entries, event.time));
  return firstPlace(timeline, cast, true, Math.max(floor, event.after), last);
}

function placeOfOther(timeline, cast, floor, ending) {
  if (floor < timeline.start) return floor;
  const found = firstPlace(timeline, cast, false, floor, timeline.end - 1);
  if (found !== undefined) return found;
  // Nothing reaches the socket after its end; and a client that left has not received the last messages.
  return timeline.end < Infinity || ending === "left" || ending === "cut" ? Math.max(floor, timeline.end) : undefined;
}

/** The last entry that was made at `time` or before. */
function lastUntil(entries, time) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].time <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The first place from `first` to `last` where the broadcast selects the socket (`wanted`), or does not. */
function firstPlace({ stretches, start }, cast, wanted, first, last) {
  for (const [index, { from, rooms }] of stretches.entries()) {
    const low = Math.max(first, from, start);
    const high = Math.min(last, (stretches[index + 1]?.from ?? Infinity) - 1);
    if (low <= high && selects(cast, rooms) === wanted) return low;
  }
  return undefined;
}
