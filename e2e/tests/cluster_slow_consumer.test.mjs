// NATS cuts off a node that does not keep up: the operator is told, and the node goes on where it was.
import assert from "node:assert/strict";
import test from "node:test";
import { nats as startNats } from "../../testing/daemon.mjs";
import { engineUrl, PollingSession, SEPARATOR } from "../../testing/engine.mjs";
import { NatsClient } from "../../testing/nats_client.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { figure } from "../harness/cluster.mjs";
import { clusterName, clusterOf, complete, startMember } from "../harness/members.mjs";
import { PLAIN } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;
/** More than the kernel keeps for a stream, and NATS for a client. */
const FLOOD = { messages: 128, bytes: 256 * 1024 };
const NEWS = 200;
const TEXT = { "content-type": "text/plain;charset=UTF-8" };

unlessPlain("NATS cuts off a node that stalls: it is named, comes back, and nothing is lost", async () => {
  const nats = await startNats("max_pending: 1MB");
  const stopped = [nats];
  try {
    const cluster = clusterName();
    const start = async (id) => {
      const node = await startMember(nats, cluster, { args: ["--node-id", id] });
      stopped.unshift(node);
      return node;
    };
    const [owner, other] = await Promise.all([start("n-owner"), start("n-other")]);
    await complete([owner, other]);
    const app = await startApp({ trunkline: { endpoint: owner.url } });
    stopped.unshift(app);
    await until("trunks", async () => (await figure(other, "trunkline_trunks")) === 1);

    // Everything that the client asks is asked of the node that does not have its session.
    const session = await PollingSession.open(owner.port, { join: true });
    const elsewhere = engineUrl({ sid: session.sid });
    const post = (body) => request(other.port, "POST", elsewhere, { headers: TEXT, body });
    const heard = [];
    let over = false;
    const hear = async () => {
      while (!over) {
        const { status, body } = await request(other.port, "GET", elsewhere);
        assert.equal(status, 200, body);
        heard.push(...body.split(SEPARATOR).filter((packet) => packet.startsWith("4")));
      }
    };
    const hearing = hear();
    hearing.catch(() => {}); // Awaited at the end.
    await until("the welcome", () => heard.some((packet) => packet.startsWith("40")));
    const ends = await figure(owner, "trunkline_mesh_links_ended_total");

    const stranger = await NatsClient.connect(nats.port);
    stopped.unshift({ stop: () => stranger.close() });
    const { number, incarnation } = await clusterOf(owner);
    const cut = /trunkline n-owner.*Slow Consumer Detected/;
    owner.child.kill("SIGSTOP");
    let posted;
    try {
      posted = post('421["echo","meanwhile"]');
      await app.run(({ io }, count) => {
        for (let news = 1; news <= count; news += 1) io.emit("all", news);
      }, NEWS);
      await until("suspicion", async () => (await clusterOf(other)).members[0]?.presence === "suspect");
      const payload = Buffer.alloc(FLOOD.bytes, 2);
      for (let sent = 0; sent < FLOOD.messages; sent += 1) {
        stranger.publish(`tl.${cluster}.n.${number}.${incarnation}.b`, payload);
      }
      await until("NATS's complaint", () => nats.log.count(cut) > 0);
    } finally {
      owner.child.kill("SIGCONT");
    }

    const answer = await posted;
    assert.deepEqual([answer.status, answer.body], [200, "ok"]);
    await until("the echo", () => heard.includes('431["meanwhile"]'));
    await until("the news", () => heard.includes(`42["all",${NEWS}]`));
    const news = heard.filter((packet) => packet.startsWith('42["all",'));
    assert.deepEqual(
      news,
      Array.from({ length: NEWS }, (_, index) => `42["all",${index + 1}]`),
    );
    await complete([owner, other]);
    assert.equal(await figure(owner, "trunkline_mesh_links_ended_total"), ends, "the link goes on");

    assert.equal(owner.log.count(/NATS is away.*did not run for.*slow consumer/), 1, "the operator is told");
    const cuts = (node) => figure(node, "trunkline_mesh_bus_cut_off_total");
    assert.deepEqual([await cuts(owner), await cuts(other)], [1, 0]);
    assert.equal(await figure(owner, "trunkline_mesh_bus_connections_total"), 2);
    over = true;
    assert.equal((await post('422["echo","last"]')).status, 200);
    await hearing;
    assert.equal(heard.at(-1), '432["last"]');
  } catch (error) {
    error.message += `\n${stopped.map(({ log }) => log?.text ?? "").join("\n")}`;
    throw error;
  } finally {
    for (const one of stopped) await one.stop("SIGKILL");
  }
});
