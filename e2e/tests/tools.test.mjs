// Tools that look into a Socket.IO server: Socket.IO's Admin UI, for two app servers. The same is asked of two plain
// servers, joined by socket.io-adapter's ClusterAdapter.
import assert from "node:assert/strict";
import test, { after, afterEach, before, describe } from "node:test";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { connected, PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const SERVERS = ["amber", "cobalt"];
const SEEN = [
  "config",
  "server_stats",
  "all_sockets",
  "socket_connected",
  "socket_updated",
  "socket_disconnected",
  "room_joined",
  "room_left",
  "event_received",
  "event_sent",
];

/** Two plain servers; clients connect to them in turn. */
async function startPair() {
  const world = new World();
  for (const name of SERVERS) world.apps.push(await startApp({ app: "admin_ui", name }));
  const [amber, cobalt] = world.apps;
  for (const [one, other] of [
    [amber, cobalt],
    [cobalt, amber],
  ]) {
    one.child.on(
      "message",
      ({ kind, data }) => kind === "published" && other.run(({ take }, message) => take(message), data),
    );
  }
  let turn = 0;
  Object.defineProperty(world, "url", { get: () => world.apps[turn++ % 2].url });
  return world;
}

const arrangements = {
  "two plain servers": startPair,
  ...(PLAIN ? {} : { Trunkline: () => World.start({ servers: SERVERS, app: "admin_ui" }) }),
};

/** An Admin UI: a client of its namespace that keeps everything it receives. */
async function openAdmin(world) {
  const socket = world.open("/admin", TRANSPORTS.websocket);
  const told = Object.fromEntries(SEEN.map((event) => [event, []]));
  for (const event of SEEN) socket.on(event, (...args) => told[event].push(args));
  await connected(socket);
  return {
    socket,
    told,
    heard: (event, matches) => until(`"${event}" for the admin`, () => told[event].find((args) => matches(...args))),
    /** The newest statistics of each server, once `matches` accepts them. */
    stats: (matches) =>
      until("the servers' statistics", () => {
        const latest = SERVERS.map((name) => told.server_stats.findLast(([{ serverId }]) => serverId === name)?.[0]);
        return latest.every(Boolean) && matches(latest) && latest;
      }),
  };
}

/** A client on each server. */
async function openClients(world, path = "/", options = TRANSPORTS.websocket) {
  const clients = await world.clientPerApp(path, options);
  return SERVERS.map((name) => ({ name, client: clients[name] }));
}

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
const socketsOf = (stats, nsp) =>
  sum(stats.map(({ namespaces }) => namespaces.find(({ name }) => name === nsp)?.socketsCount ?? 0));

for (const [what, start] of Object.entries(arrangements)) {
  describe(`Admin UI, ${what}`, { timeout: 60_000 }, () => {
    let world;
    before(async () => {
      world = await start();
    });
    afterEach(async () => {
      world.closeClients();
      await until("no clients", async () => {
        const counts = await Promise.all(world.apps.map((app) => app.run(({ io }) => io.engine.clientsCount)));
        return sum(counts) === 0;
      });
    });
    after(() => world?.stop());

    test("the features that it may use", async () => {
      const { told, heard } = await openAdmin(world);
      await heard("config", () => true);
      const [{ supportedFeatures }] = told.config[0];
      assert.deepEqual(
        supportedFeatures.toSorted(),
        [
          "AGGREGATED_EVENTS",
          "ALL_EVENTS",
          "EMIT",
          "JOIN",
          "LEAVE",
          "MDISCONNECT",
          "MJOIN",
          "MLEAVE",
          "DISCONNECT",
        ].toSorted(),
      );
    });

    test("every socket of both servers, as an admin comes", async () => {
      const clients = await openClients(world);
      const chat = world.open("/chat", TRANSPORTS.polling);
      await connected(chat);
      const admin = await openAdmin(world);
      const [all] = await admin.heard("all_sockets", () => true);
      const open = world.clients.filter(({ connected }) => connected);
      assert.deepEqual(all.map(({ id }) => id).sort(), open.map(({ id }) => id).sort());
      for (const { name, client } of clients) {
        const { clientId, handshake, ...told } = all.find(({ id }) => id === client.id);
        assert.deepEqual(told, {
          id: client.id,
          transport: "websocket",
          nsp: "/",
          data: { home: name },
          rooms: [client.id],
        });
        assert.equal(clientId, client.io.engine.id.slice(0, 12));
        assert.equal(handshake.address.replace("::ffff:", ""), "127.0.0.1");
        assert.equal(handshake.query.transport, "websocket");
        assert.equal(handshake.secure, false);
        assert.equal(typeof handshake.headers.host, "string");
      }
      const { transport, nsp } = all.find(({ id }) => id === chat.id);
      assert.deepEqual([transport, nsp], ["polling", "/chat"]);
    });

    test("statistics of both servers, with the right numbers", async () => {
      const admin = await openAdmin(world);
      await openClients(world);
      const polling = world.open("/chat", TRANSPORTS.polling);
      await connected(polling);
      const open = world.clients.length;
      const stats = await admin.stats(
        (latest) => sum(latest.map(({ clientsCount }) => clientsCount)) === open && socketsOf(latest, "/chat") === 1,
      );
      assert.equal(sum(stats.map(({ pollingClientsCount }) => pollingClientsCount)), 1);
      assert.equal(socketsOf(stats, "/admin"), 1);
      assert.equal(socketsOf(stats, "/"), open - 2);
      assert.deepEqual(
        stats.map(({ pid }) => pid),
        world.apps.map(({ child }) => child.pid),
      );
      polling.disconnect();
      await admin.stats(
        (latest) =>
          sum(latest.map(({ clientsCount }) => clientsCount)) === open - 1 &&
          sum(latest.map((one) => one.pollingClientsCount)) === 0,
      );
    });

    test("the traffic of both servers is counted", async () => {
      const admin = await openAdmin(world);
      // Each server reports what happened since its last report: discard once what happened before this test.
      await admin.stats(() => true);
      admin.told.server_stats.length = 0;
      const before = world.clients.length;
      const clients = await openClients(world);
      for (const { name, client } of clients) client.emit("say", name.repeat(100));
      const bytes = Buffer.byteLength(JSON.stringify(["say", "amber".repeat(100)]));
      const opened = world.clients.slice(before);
      await Promise.all(opened.map((client) => client.emitWithAck("server")));
      for (const client of opened) client.disconnect();
      const counted = (server, type) => {
        const events = admin.told.server_stats.flatMap(([one]) =>
          one.serverId === server ? one.aggregatedEvents : [],
        );
        return sum(events.filter((one) => one.type === type).map(({ count }) => count));
      };
      const total = (type) => sum(SERVERS.map((server) => counted(server, type)));
      await until("the ends", () => total("rawDisconnection") >= opened.length);
      assert.equal(total("rawConnection"), opened.length);
      assert.equal(total("rawDisconnection"), opened.length);
      // For each client: the namespace, where it is asked for twice, and the end; for two clients, also their messages.
      assert.equal(total("packetsIn"), 4 * opened.length + clients.length);
      for (const server of SERVERS) {
        assert.ok(counted(server, "bytesIn") > bytes, `${server}: bytes in`);
        assert.ok(counted(server, "bytesOut") > bytes, `${server}: bytes out`);
      }
    });

    test("sockets of both servers that come, do something, and go", async () => {
      const admin = await openAdmin(world);
      for (const { name, client } of await openClients(world)) {
        const { id } = client;
        const [{ nsp, rooms, handshake }, at] = await admin.heard("socket_connected", (socket) => socket.id === id);
        assert.deepEqual([nsp, rooms, typeof handshake.url], ["/", [id], "string"], name);
        assert.ok(Number.isFinite(Date.parse(at)));
        await admin.heard("room_joined", (nsp, room, who) => nsp === "/" && room === id && who === id);
        await admin.heard("socket_updated", (socket) => socket.id === id && socket.data?.home === name);
        client.emit("say", name);
        await admin.heard(
          "event_received",
          (nsp, who, [event, text]) => nsp === "/" && who === id && event === "say" && text === name,
        );
        await admin.heard(
          "event_sent",
          (nsp, who, [event, text]) => nsp === "/" && who === id && event === "said" && text === name,
        );
        client.disconnect();
        const [, , reason] = await admin.heard("socket_disconnected", (nsp, who) => nsp === "/" && who === id);
        assert.equal(reason, "client namespace disconnect");
        await admin.heard("room_left", (nsp, room, who) => nsp === "/" && room === id && who === id);
      }
    });

    test("an upgrade", async () => {
      const admin = await openAdmin(world);
      for (const { client } of await openClients(world, "/", TRANSPORTS.upgrade)) {
        const [{ transport }] = await admin.heard("socket_connected", (socket) => socket.id === client.id);
        // If the upgrade is done before the namespace is joined, there is nothing to update.
        if (transport === "polling")
          await admin.heard("socket_updated", (socket) => socket.id === client.id && socket.transport === "websocket");
      }
      await admin.stats((latest) => sum(latest.map(({ pollingClientsCount }) => pollingClientsCount)) === 0);
    });

    for (const [choice, filterOf] of [
      ["one socket", ({ id }) => id],
      ["all sockets", () => undefined],
    ]) {
      test(`the admin makes ${choice} join, hear, leave and go, on each server`, async () => {
        const admin = await openAdmin(world);
        const clients = await openClients(world);
        const names = new Map(clients.map(({ name, client }) => [client, name]));
        const others = (client) => [...names.keys()].filter((other) => other !== client);
        const rooms = (client) => client.emitWithAck("rooms");
        const heard = [];
        for (const { name, client } of clients) client.on("hear", (...args) => heard.push([name, ...args]));

        for (const { name, client } of clients) {
          const filter = filterOf(client);
          admin.socket.emit("join", "/", "red", filter);
          await until("in the room", async () => (await rooms(client)).includes("red"));
          await admin.heard("room_joined", (nsp, room, who) => nsp === "/" && room === "red" && who === client.id);
          if (filter) for (const other of others(client)) assert.deepEqual(await rooms(other), []);

          admin.socket.emit("emit", "/", filter, "hear", name, { deep: [1, null] });
          // Messages to all that are sent later arrive later.
          const wanted = filter
            ? [[name, name, { deep: [1, null] }]]
            : SERVERS.map((server) => [server, name, { deep: [1, null] }]);
          admin.socket.emit("emit", "/", undefined, "hear", "end");
          await until("the event", () => heard.filter(([, text]) => text === "end").length === SERVERS.length);
          assert.deepEqual(
            heard
              .splice(0)
              .filter(([, text]) => text !== "end")
              .sort(),
            wanted.sort(),
          );

          admin.socket.emit("leave", "/", "red", filter);
          for (const one of names.keys()) await until("out of the room", async () => (await rooms(one)).length === 0);
          await admin.heard("room_left", (nsp, room, who) => nsp === "/" && room === "red" && who === client.id);
        }
      });

      for (const close of [false, true]) {
        test(`the admin disconnects ${choice}, close: ${close}`, async () => {
          const admin = await openAdmin(world);
          const clients = await openClients(world);
          const reasons = new Map();
          for (const { client } of clients) client.on("disconnect", (reason) => reasons.set(client, reason));
          const ids = clients.map(({ client }) => client.id);
          const filter = choice === "one socket";
          for (const [at, { client }] of clients.entries()) {
            admin.socket.emit("_disconnect", "/", close, filter ? ids[at] : undefined);
            await until("the end", () => reasons.has(client));
            assert.equal(reasons.get(client), "io server disconnect");
            if (filter) for (const { client: other } of clients.slice(at + 1)) assert.equal(other.connected, true);
            const [, , reason] = await admin.heard("socket_disconnected", (nsp, who) => nsp === "/" && who === ids[at]);
            assert.equal(reason, "server namespace disconnect");
            if (!filter) break;
          }
        });
      }
    }
  });
}
