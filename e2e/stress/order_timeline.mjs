// The life of one socket, according to its home's log.

/** Every socket's home: its app server's log, and the numbers of the entries that are about this socket. */
export function homesOf(logs, say) {
  const homes = new Map();
  for (const log of logs) {
    log.casts = [];
    for (const [at, entry] of log.entries.entries()) {
      if (entry.op === "cast") log.casts.push({ ...entry, at });
      if (entry.op === "connect") {
        if (homes.has(entry.socket)) say(`socket ${entry.socket} was connected twice`);
        homes.set(entry.socket, { socket: entry.socket, log, own: [] });
      }
      if (entry.socket !== undefined) homes.get(entry.socket)?.own.push(at);
    }
  }
  return homes;
}

/**
 * `start`, `end`: the socket exists after entry `start` and before entry `end`. `stretches`: its rooms, each valid from
 * entry `from` on. `expected`: the entry of every message for it. `mandatory`: the messages that are not volatile, in
 * order.
 */
export function timelineOf({ socket, log, own }) {
  const { entries } = log;
  const start = own[0];
  const endedBy = own.find((at) => entries[at].op === "end" || entries[at].op === "gone");
  const end = endedBy ?? Infinity;
  const timeline = {
    socket,
    entries,
    start,
    end,
    endedByApp: entries[endedBy]?.op === "end",
    stretches: [{ from: start, rooms: new Set([socket]) }],
  };
  timeline.expected = new Map();
  timeline.mandatory = [];
  const expect = (key, at) => {
    timeline.expected.set(key, at);
    if (!entries[at].volatile) timeline.mandatory.push({ key, at });
  };
  for (const at of merged(own, log.casts, start, end)) {
    const { op, id, number } = entries[at];
    if (op === "join" || op === "leave")
      timeline.stretches.push({ from: at, rooms: moved(timeline.stretches.at(-1).rooms, entries[at]) });
    else if (op === "send") expect(id, at);
    else if (op === "ack") expect(`ack ${number}`, at);
    else if (op === "cast" && selects(entries[at], timeline.stretches.at(-1).rooms)) expect(id, at);
  }
  return timeline;
}

function merged(own, casts, start, end) {
  const all = [...own, ...casts.map(({ at }) => at)].filter((at) => at > start && at < end);
  return all.sort((a, b) => a - b);
}

function moved(rooms, entry) {
  const next = new Set(rooms);
  if (entry.op === "leave") next.delete(entry.room);
  else for (const room of entry.rooms) next.add(room);
  return next;
}

/** Whether a broadcast goes to a socket that is in the rooms `own`. */
export function selects({ rooms, except }, own) {
  if (except.some((room) => own.has(room))) return false;
  return rooms.length === 0 || rooms.some((room) => own.has(room));
}
