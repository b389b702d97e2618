// Serverless mode: unmodified Socket.IO clients, a handler in Python, and no app server.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { next, until, within } from "../../testing/wait.mjs";
import { Serverless, group, startHandler, token } from "../harness/handler.mjs";
import { PLAIN } from "../harness/world.mjs";

const error = (socket) => next(socket, "connect_error").then(([error]) => error);
/** An answer, or `none` when none comes in time. */
const asked = (socket, ms, ...event) =>
  socket
    .timeout(ms)
    .emitWithAck(...event)
    .catch(() => "none");

if (!PLAIN) {
  describe("serverless mode", () => {
    let world;
    before(async () => {
      world = await Serverless.start({ args: ["--webhook-timeout", "1s"] });
    });
    after(() => world?.stop());

    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      test(`a life over ${transports.join(" and ")}: each step is told, signed and in order`, async () => {
        const socket = await world.connected("/chat", { transports, auth: { name: "ann" }, query: { room: "7" } });
        assert.equal(socket.id.length, 20);
        assert.equal(await socket.emitWithAck("echo", "ünï", { a: [1, null] }), "ünï");
        socket.emit("quiet", 1);
        const id = socket.id;
        socket.disconnect();
        const names = ["connect", "connected", "echo", "quiet", "disconnected"];
        await until("its end", async () => (await world.handler.heard(id)).length === names.length);
        const heard = (await world.handler.look()).seen.filter((one) => one.socketid === id);
        assert.deepEqual(
          heard.map((one) => one.eventname),
          names,
        );
        const connectionId = heard[0].connectionid;
        for (const one of heard) {
          assert.equal(one.path, one.eventname);
          assert.equal(one.signed, true);
          assert.equal(one.hub, "default");
          assert.equal(one.namespace, "/chat");
          assert.equal(one.connectionid, connectionId);
          assert.equal(one.specversion, "1.0");
          assert.equal(one.source, `/hubs/default/client/${connectionId}`);
          assert.equal(one.origin, world.node.ready.listen);
          assert.ok(!Number.isNaN(Date.parse(one.time)));
        }
        assert.deepEqual(
          heard.map((one) => one.type.replace("azure.webpubsub.", "")),
          ["sys.connect", "sys.connected", "user.message", "user.message", "sys.disconnected"],
        );
        const body = JSON.parse(heard[0].body);
        assert.deepEqual(body.auth, { name: "ann" });
        assert.deepEqual(body.query.room, ["7"]);
        assert.equal(heard[2].body, '42/chat,0["echo","ünï",{"a":[1,null]}]');
        assert.match(heard[2]["content-type"], /^text\/plain/);
        assert.equal(heard[4].body, '{"reason":""}');
      });
    }

    test("handlers refuse sockets, in words and with data", async () => {
      const refused = await error(world.client("/", { auth: { wish: "refuse" } }));
      assert.equal(refused.message, "not you");
      const priced = await error(world.client("/", { auth: { wish: "refuse with data" } }));
      assert.equal(priced.message, "pay first");
      assert.deepEqual(priced.data, { price: 3 });
    });

    test("a client's token says whose it is; a bad one opens nothing", async () => {
      const audience = `${world.node.url}/clients/socketio/hubs/default`;
      const socket = await world.connected("/", { query: { access_token: token({ aud: audience, sub: "ann" }) } });
      await until("its connect", async () => (await world.handler.heard(socket.id)).length >= 2);
      const [connect] = (await world.handler.look()).seen.filter((one) => one.socketid === socket.id);
      assert.equal(connect.userid, "ann");
      assert.deepEqual(JSON.parse(connect.body).claims.sub, ["ann"]);
      assert.equal(JSON.parse(connect.body).query.access_token, undefined);
      const wrong = { access_token: token({ aud: audience }, "another key of the same length") };
      assert.ok(await error(world.client("/", { query: wrong })));
      const users = { path: "users/ann/:send", body: '42["hello","ann"]' };
      const heard = next(socket, "hello");
      assert.equal((await world.call("POST", users.path, users)).status, 202);
      assert.deepEqual(await heard, ["ann"]);
    });

    test("one socket's events are handled one after another, and another's meanwhile", async () => {
      const [ann, ben] = await Promise.all([world.connected(), world.connected()]);
      const order = [];
      const slow = ann.emitWithAck("slow", 300).then(() => order.push("slow"));
      const behind = ann.emitWithAck("echo", 1).then(() => order.push("behind"));
      const other = ben.emitWithAck("echo", 2).then(() => order.push("other"));
      await Promise.all([slow, behind, other]);
      assert.deepEqual(order, ["other", "slow", "behind"]);
    });

    test("an event whose name makes no URL of its own is not told, and the next one is", async () => {
      const socket = await world.connected();
      for (const name of ["..", ".", "", "x".repeat(70_000)]) {
        socket.emit(name, 1);
      }
      assert.equal(await socket.emitWithAck("echo", 2), 2);
      assert.deepEqual(await world.handler.heard(socket.id), ["connect", "connected", "echo"]);
    });

    test("an answer goes to the client as it is, and may be several packets", async () => {
      const socket = await world.connected();
      const said = next(socket, "said");
      assert.equal(await socket.emitWithAck("twice", "hi"), "done");
      assert.deepEqual(await said, ["hi"]);
      const gone = next(socket, "disconnect");
      const { id } = socket;
      socket.emit("goodbye");
      assert.deepEqual((await gone)[0], "io server disconnect");
      await until("its end", async () => (await world.handler.heard(id)).includes("disconnected"));
    });

    test("rooms by REST: join, emit to room, namespace, socket and several rooms but some, leave, disconnect", async () => {
      const [ann, ben, cid] = await Promise.all([1, 2, 3].map(() => world.connected("/ns")));
      const heard = { ann: [], ben: [], cid: [] };
      for (const [name, socket] of Object.entries({ ann, ben, cid })) {
        socket.onAny((event) => heard[name].push(event));
      }
      const all = (sockets) => sockets.map((socket) => `'${group("/ns", socket.id)}' in groups`).join(" or ");
      const json = "application/json";
      const join = (filter, ...rooms) => {
        const body = JSON.stringify({ filter, groups: rooms.map((room) => group("/ns", room)) });
        return world.call("POST", ":addToGroups", { body, type: json });
      };
      assert.equal((await join(all([ann, ben]), "red")).status, 200);
      assert.equal((await join(all([ben, cid]), "blue", "green")).status, 200);
      const emit = (path, event, query) => world.call("POST", path, { query, body: `42/ns,["${event}"]` });
      const sends = [
        emit(`groups/${group("/ns", "red")}/:send`, "red"),
        emit(`groups/${group("/ns", "")}/:send`, "all"),
        emit(`groups/${group("/ns", cid.id)}/:send`, "cid"),
        emit(`groups/${group("/ns", "blue")}/:send`, "blue but cid", {
          filter: `not ('${group("/ns", cid.id)}' in groups)`,
        }),
        emit(":send", "both but ben", {
          filter: `('${group("/ns", "red")}' in groups or '${group("/ns", "blue")}' in groups) and not ('${group("/ns", ben.id)}' in groups)`,
        }),
      ];
      assert.deepEqual(
        (await Promise.all(sends)).map(({ status }) => status),
        [202, 202, 202, 202, 202],
      );
      const leave = { body: JSON.stringify({ filter: all([ben]), groups: [group("/ns", "red")] }), type: json };
      assert.equal((await world.call("POST", ":removeFromGroups", leave)).status, 200);
      await emit(`groups/${group("/ns", "red")}/:send`, "red again");
      await emit(`groups/${group("/ns", "")}/:send`, "end");
      await until("the last", () => Object.values(heard).every((events) => events.includes("end")));
      for (const events of Object.values(heard)) events.sort();
      assert.deepEqual(heard, {
        ann: ["all", "both but ben", "end", "red", "red again"],
        ben: ["all", "blue but cid", "end", "red"],
        cid: ["all", "both but ben", "cid", "end"],
      });
      const { id } = ann;
      const gone = next(ann, "disconnect");
      assert.equal((await world.call("POST", `groups/${group("/ns", id)}/:send`, { body: "41/ns," })).status, 202);
      assert.equal((await gone)[0], "io server disconnect");
      await until("its end", async () => (await world.handler.heard(id)).includes("disconnected"));
      const closed = next(cid, "disconnect");
      const own = group("/ns", cid.id);
      const ends = { body: '41/ns,{"close":true}' };
      await world.call("POST", `groups/${own}/:send`, ends);
      await closed;
      assert.equal((await world.call("HEAD", `groups/${own}`)).status, 404);
    });

    test("filters that do not parse are refused at the place of the mistake", async () => {
      const cases = [
        ["userId eq", "position 9: expected a value, an identifier, a function or `(`, found the end"],
        ["user in ('a')", "position 0: `user` is neither an identifier"],
        ["'a' in groups and", "position 17"],
        ["not length(userId) gt 5", "position 4: `not` belongs to the value right behind it"],
        [`${"(".repeat(101)}true${")".repeat(101)}`, "position 100: it is nested deeper than 100"],
      ];
      for (const [filter, expected] of cases) {
        const answer = await world.call("POST", ":send", { query: { filter }, body: "42[]" });
        assert.equal(answer.status, 400, filter);
        assert.ok(answer.body.includes(expected), `${answer.body} lacks ${expected}`);
      }
    });

    test("what a handler answers badly: no acknowledgement, a count, and the socket goes on", async () => {
      const socket = await world.connected();
      const tries = (outcome) => world.metric(`trunkline_azure_webhook_calls_total{event="user",outcome="${outcome}"}`);
      const cases = [
        ["forbidden", "refused"],
        ["elsewhere", "redirect"],
        ["huge", "too_long"],
      ];
      for (const [event, outcome] of cases) {
        const before = await tries(outcome);
        assert.equal(await asked(socket, 500, event), "none");
        assert.equal(await tries(outcome), before + 1, event);
      }
      assert.deepEqual((await world.handler.look()).trapped, [], "a redirect is not followed");
      assert.equal(await asked(socket, 500, "nonsense"), "none");
      assert.equal(await world.metric('trunkline_azure_serverless_ignored_total{cause="answer_unreadable"}'), 1);
      assert.equal(await asked(socket, 500, "echo", Buffer.from([1])), "none");
      assert.equal(await world.metric('trunkline_azure_serverless_ignored_total{cause="binary"}'), 1);
      assert.equal(await socket.emitWithAck("echo", "still here"), "still here");
    });

    test("a server's error is tried again after 1, 3 and 5 s", { timeout: 60_000 }, async () => {
      const [socket, late, broken] = await Promise.all([world.connected(), world.connected(), world.connected()]);
      const begun = Date.now();
      const end = async (promise) => [await promise, Math.round((Date.now() - begun) / 1000)];
      const refused = error(world.client("/", { auth: { wish: "break" } }));
      const [flaky, slow, never, [refusal, seconds]] = await Promise.all([
        end(socket.emitWithAck("flaky")),
        end(
          late
            .timeout(20_000)
            .emitWithAck("slow", 1_500)
            .catch(() => "none"),
        ),
        end(
          broken
            .timeout(15_000)
            .emitWithAck("broken")
            .catch(() => "none"),
        ),
        end(refused),
      ]);
      assert.equal(flaky[0], "at last");
      assert.ok(flaky[1] >= 4, `after 1 and 3 s at the least, not ${flaky[1]}`);
      assert.equal(slow[0], "none", "each try runs into the time limit");
      assert.equal(never[0], "none");
      assert.equal(refusal.message, "service unavailable");
      assert.ok(seconds >= 9, `after 1, 3 and 5 s at the least, not ${seconds}`);
      const { seen } = await world.handler.look();
      const count = (id, name) => seen.filter((one) => one.socketid === id && one.eventname === name).length;
      assert.equal(count(socket.id, "flaky"), 3);
      assert.equal(count(broken.id, "broken"), 4);
      // Of four tries, one may meet a connection that the handler is about to end, see below.
      assert.ok([3, 4].includes(count(late.id, "slow")), `${count(late.id, "slow")} tries`);
      const calls = (event, outcome) =>
        world.metric(`trunkline_azure_webhook_calls_total{event="${event}",outcome="${outcome}"}`);
      // The handler ends idle connections after 5 s: a try may meet one that is about to end.
      await until(
        "the event that was too slow",
        async () => (await calls("user", "timeout")) + (await calls("user", "unreachable")) === 1,
      );
      await until(
        "the connect that broke",
        async () => (await calls("connect", "error")) + (await calls("connect", "unreachable")) === 1,
      );
    });
  });

  test("a handler that allows nobody gets no event", async () => {
    const handler = await startHandler();
    await handler.mode({ allow: "somebody.else" });
    const world = await Serverless.start({ handler });
    try {
      assert.equal((await error(world.client())).message, "service unavailable");
      assert.deepEqual((await handler.look()).seen, []);
      assert.equal(await world.metric('trunkline_azure_webhook_permissions_total{outcome="refused"}'), 1);
      assert.equal(await world.metric('trunkline_azure_webhook_calls_total{event="connect",outcome="not_allowed"}'), 1);
      assert.ok(world.node.log.lines.some((line) => line.includes("WebHook-Allowed-Origin")));
    } finally {
      await world.stop();
    }
  });

  test("a handler that is down for a while is found again", { timeout: 60_000 }, async () => {
    const handler = await startHandler();
    const world = await Serverless.start({ handler });
    try {
      const socket = await world.connected();
      await handler.stop();
      const late = socket.timeout(20_000).emitWithAck("echo", "late");
      await until(
        "a try that found nobody",
        async () => (await world.metric('trunkline_azure_webhook_tries_total{outcome="unreachable"}')) > 0,
      );
      world.handler = await startHandler(handler.port);
      assert.equal(await late, "late");
      assert.equal(await within("another", socket.emitWithAck("echo", "again")), "again");
    } finally {
      await world.stop();
    }
  });

  test("calls that are not done are bounded: what is beyond is refused and counted", async () => {
    const world = await Serverless.start({ args: ["--webhook-pending-max", "2"] });
    try {
      const sockets = [];
      for (let count = 0; count < 3; count += 1) sockets.push(await world.connected());
      const answers = sockets.map((socket) => asked(socket, 1_000, "slow", 300));
      assert.deepEqual((await Promise.all(answers)).sort(), ["none", "slow", "slow"]);
      assert.equal(await world.metric('trunkline_azure_webhook_calls_total{event="user",outcome="pending_full"}'), 1);
    } finally {
      await world.stop();
    }
  });

  test("connections have turns: one with many namespaces does not make the others wait for all of its events", async () => {
    const world = await Serverless.start({ args: ["--webhook-concurrent-max", "2"] });
    try {
      const greedy = [];
      for (let connection = 0; connection < 4; connection += 1) {
        const first = await world.connected("/0");
        greedy.push(first);
        for (let at = 1; at < 12; at += 1) {
          const socket = first.io.socket(`/${at}`);
          await next(socket, "connect");
          greedy.push(socket);
        }
      }
      const other = await world.connected();
      let answered = 0;
      for (const socket of greedy) socket.emit("slow", 50, () => (answered += 1));
      await until("the first answers", () => answered > 0);
      assert.equal(await other.emitWithAck("echo", "mine"), "mine");
      assert.ok(answered < greedy.length / 2, `${answered} of ${greedy.length} had their turn first`);
      await until("all of them", () => answered === greedy.length);
    } finally {
      await world.stop();
    }
  });

  test("a client that sends faster than its handler answers is closed", async () => {
    const world = await Serverless.start({ args: ["--serverless-socket-events-max", "3"] });
    try {
      const socket = await world.connected();
      const gone = next(socket, "disconnect");
      const { id } = socket;
      for (let count = 0; count < 6; count += 1) socket.emit("slow", 50);
      await gone;
      await until("its end", async () => (await world.handler.heard(id)).includes("disconnected"));
      assert.equal(await world.metric('trunkline_azure_clients_closed_total{cause="events_waiting"}'), 1);
    } finally {
      await world.stop();
    }
  });

  test("a node that stops tells the handler of every socket's end", { timeout: 60_000 }, async () => {
    const world = await Serverless.start({ args: ["--drain", "1s"] });
    try {
      const sockets = [];
      for (let count = 0; count < 20; count += 1) sockets.push(await world.connected(count % 2 ? "/a" : "/b"));
      const ids = sockets.map(({ id }) => id);
      await world.node.stop();
      const { seen } = await world.handler.look();
      const ends = seen.filter((one) => one.eventname === "disconnected").map((one) => one.socketid);
      assert.deepEqual(ends.sort(), ids.sort());
    } finally {
      await world.stop();
    }
  });

  test("https: a handler behind an authority that the system knows, and one that it does not", {
    timeout: 60_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "trunkline-handler-"));
    const [key, certificate, both] = ["key.pem", "certificate.pem", "both.pem"].map((name) => join(folder, name));
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=handler",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        key,
        "-out",
        certificate,
      ],
      { stdio: "ignore" },
    );
    writeFileSync(both, readFileSync(key, "utf8") + readFileSync(certificate, "utf8"));
    const handler = await startHandler(0, both);
    const known = { handler, scheme: "https", env: { SSL_CERT_FILE: certificate } };
    const worlds = await Promise.all([Serverless.start(known), Serverless.start({ handler, scheme: "https" })]);
    try {
      const socket = await worlds[0].connected();
      assert.equal(await socket.emitWithAck("echo", "secret"), "secret");
      assert.equal((await error(worlds[1].client())).message, "service unavailable");
      assert.ok((await worlds[1].metric('trunkline_azure_webhook_permissions_total{outcome="unreachable"}')) > 0);
    } finally {
      for (const world of worlds) await world.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
