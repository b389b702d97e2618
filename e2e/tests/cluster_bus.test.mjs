// Nodes and a real NATS: who counts as a node of the cluster, and what happens when NATS or a node goes or hangs.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { nats as startNats, freePort } from "../../testing/daemon.mjs";
import { NatsClient } from "../../testing/nats_client.mjs";
import { PollingSession } from "../../testing/engine.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { beat, clusterName, clusterOf, complete, readiness, startMember } from "../harness/members.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN } from "../harness/world.mjs";

const tests = [];

/** Runs `act` with a NATS server, beside other tests, and stops everything that it has started. */
function withNats(name, act) {
  tests.push([
    name,
    async () => {
      const nats = await startNats();
      const started = [nats];
      const member = async (cluster, options) => {
        const node = await startMember(nats, cluster, options);
        started.push(node);
        return node;
      };
      try {
        await act({ nats, member, started });
      } catch (error) {
        error.message += `\n${started.map(({ log }) => log?.text ?? "").join("\n")}`;
        throw error;
      } finally {
        await Promise.all(started.map((one) => one.stop?.("SIGKILL") ?? one.close()));
      }
    },
  ]);
}

const logged = (node, pattern) => until(`a line like ${pattern}`, () => node.log.count(pattern) > 0);
const ready = (node) => until("readiness", async () => (await readiness(node)).status === 200);
const members = async (node) => (await clusterOf(node)).members.map((one) => one.node).sort();

withNats("a node that leaves, one that is killed, and one that comes again: each with its cause", async (stage) => {
  const cluster = clusterName();
  const start = (id) => stage.member(cluster, { args: ["--node-id", id] });
  const [first, second, third] = await Promise.all(["n-1", "n-2", "n-3"].map(start));
  await complete([first, second, third]);
  const seen = await clusterOf(first);
  assert.equal(seen.cluster, cluster);
  assert.equal(seen.nats.reached, true);
  assert.equal((await first.status()).node_number, seen.number);
  const peer = seen.members.find(({ node }) => node === "n-2");
  assert.equal(peer.advertise, second.url);
  assert.equal(peer.state, "up");
  await ready(first);
  assert.deepEqual(await readiness(first), { status: 200, causes: [], notes: ["no_app_server"] });

  await second.stop();
  await until("the goodbye", async () => (await members(first)).join() === "n-3");
  await logged(first, /has left the cluster.*peer="?n-2/);

  third.child.kill("SIGKILL");
  await until("the death", async () => (await members(first)).length === 0);
  await logged(first, /a node is gone.*peer="?n-3/);
  const metrics = await first.metrics();
  const changes = (change) => metrics.get(`trunkline_mesh_changes_total{change="${change}"}`);
  assert.equal(changes("left"), 1);
  // NATS says that nobody listens as soon as something is sent there; until then there is silence.
  assert.equal(changes("unreachable") + changes("silent"), 1);

  const again = await start("n-3");
  await complete([first, again]);
});

withNats("two clusters on one NATS do not see each other", async (stage) => {
  const [red, blue] = [clusterName(), clusterName()];
  const nodes = await Promise.all([red, red, blue, blue].map((name) => stage.member(name)));
  await complete(nodes.slice(0, 2));
  await complete(nodes.slice(2));
  const metrics = await nodes[0].metrics();
  assert.equal(metrics.get('trunkline_mesh_strangers_total{cause="forged"}'), 0);
});

withNats("a stranger at NATS changes nothing, and is counted", async (stage) => {
  const cluster = clusterName();
  const nodes = await Promise.all([stage.member(cluster), stage.member(cluster)]);
  await complete(nodes);
  const before = await members(nodes[0]);
  const stranger = await NatsClient.connect(stage.nats.port);
  stage.started.push(stranger);
  stranger.subscribe(`tl.${cluster}.>`);
  await until("beats", () => stranger.messages.some(({ subject }) => subject.endsWith(".beat")));

  const { number, incarnation } = await clusterOf(nodes[0]);
  const inbox = `tl.${cluster}.n.${number}.${incarnation}`;
  const real = stranger.messages.find(({ subject }) => subject.endsWith(".beat")).payload;
  const changed = Buffer.from(real);
  changed[12] ^= 1;
  for (const subject of [`tl.${cluster}.beat`, `${inbox}.c`, `${inbox}.b`, `${inbox}.x`]) {
    for (const payload of [Buffer.alloc(0), Buffer.from("garbage"), Buffer.alloc(200_000, 2), changed, real]) {
      stranger.publish(subject, payload);
    }
  }
  stranger.publish(`tl.${cluster}.beat`, beat({ cluster, key: "not the cluster's key", number: 7, node: "evil" }));
  // As if NATS had said that the other node is gone.
  const other = await clusterOf(nodes[1]);
  stranger.publish(`tl.${cluster}.gone.${incarnation}.${other.number}.${other.incarnation}`, Buffer.alloc(0));
  await stranger.flush();

  await until("the count", async () => {
    return (await nodes[0].metrics()).get('trunkline_mesh_strangers_total{cause="forged"}') >= 10;
  });
  await logged(nodes[0], /wrong signature.*came through NATS, and is ignored/);
  assert.deepEqual(await members(nodes[0]), before);
  await complete(nodes);
  assert.equal(nodes[0].log.count(/does not answer|is gone|has ended/), 0);
});

withNats("a flood of forged beats does not keep the nodes' own words waiting", async (stage) => {
  const cluster = clusterName();
  const nodes = await Promise.all([stage.member(cluster), stage.member(cluster)]);
  await complete(nodes);
  const app = await startApp({ trunkline: { endpoint: nodes[0].url } });
  stage.started.push(app);
  const stranger = await NatsClient.connect(stage.nats.port);
  stage.started.push(stranger);
  // A beat that is read to its end before it is found to be forged.
  const forged = beat({ cluster, key: "not the cluster's key", number: 7, node: "evil" });
  const subject = `tl.${cluster}.beat`;
  const chunk = Buffer.concat(
    Array.from({ length: 500 }, () =>
      Buffer.from(`PUB ${subject} ${forged.length}\r\n${forged.toString("latin1")}\r\n`, "latin1"),
    ),
  );
  let over = false;
  const flood = (async () => {
    while (!over) {
      if (!stranger.socket.write(chunk)) await once(stranger.socket, "drain");
      await new Promise((done) => setImmediate(done));
    }
  })();
  const count = async (node) => (await node.metrics()).get('trunkline_mesh_strangers_total{cause="forged"}');
  await until("the flood", async () => (await count(nodes[0])) > 5_000 && (await count(nodes[1])) > 5_000);
  const begun = await count(nodes[1]);
  // Each request goes to the node that does not hold the session.
  const session = await PollingSession.open(nodes[0].port, { join: true });
  session.send = (method, path, options) => request(nodes[1].port, method, path, options);
  await session.collect(1);
  for (let turn = 0; turn < 20; turn += 1) {
    assert.equal((await session.post(`42${turn}["echo",${turn}]`)).status, 200);
    assert.deepEqual(await session.collect(1), [`43${turn}[${turn}]`]);
  }
  const before = await count(nodes[1]);
  // About half a million pass meanwhile; behind all that wait for the node it was more than six.
  assert.ok(before - begun < 3_000_000, `${before - begun} beats went before 40 requests`);
  await until("more of the flood", async () => (await count(nodes[1])) > before);
  over = true;
  await flood;
  await complete(nodes);
  assert.equal(nodes[0].log.count(/does not answer|is gone|has ended/), 0);
});

withNats("a node with another cluster key stays alone, and both sides say why", async (stage) => {
  const cluster = clusterName();
  const [one, other] = await Promise.all([
    stage.member(cluster),
    stage.member(cluster, { env: { TRUNKLINE_CLUSTER_KEY: "a key that nobody else has" } }),
  ]);
  await complete([one]);
  await complete([other]);
  await Promise.all([one, other].map((node) => logged(node, /another cluster key, or a stranger/)));
});

withNats("a node of another version of the protocol is named, and its number is not taken", async (stage) => {
  const cluster = clusterName();
  const node = await stage.member(cluster);
  await complete([node]);
  const stranger = await NatsClient.connect(stage.nats.port);
  stage.started.push(stranger);
  stranger.publish(`tl.${cluster}.beat`, beat({ cluster, versions: [7, 9], number: 7, node: "newer" }));
  await logged(node, /versions 7 to 9 of the mesh protocol/);
  assert.deepEqual(await members(node), []);
  assert.equal((await node.metrics()).get('trunkline_mesh_strangers_total{cause="version"}'), 1);
  // The same beat in this version is a node's, and is answered.
  stranger.subscribe(`tl.${cluster}.n.9.>`);
  stranger.publish(`tl.${cluster}.beat`, beat({ cluster, number: 9, node: "like us" }));
  await until("the opening of a link", () => stranger.messages.length > 0);
});

withNats("NATS is restarted: nodes stay ready, unless they are strict, and find one another again", async (stage) => {
  const cluster = clusterName();
  const [loose, strict] = await Promise.all([
    stage.member(cluster),
    stage.member(cluster, { args: ["--cluster-strict", "on"] }),
  ]);
  await complete([loose, strict]);
  await Promise.all([loose, strict].map(ready));
  const numbers = async () => Promise.all([loose, strict].map(async (node) => (await clusterOf(node)).number));
  const before = await numbers();
  await stage.nats.stop("SIGKILL");
  await until("the note", async () => (await readiness(loose)).notes.includes("nats_away"));
  await until("the cause", async () => (await readiness(strict)).causes.includes("nats_away"));
  assert.equal((await readiness(loose)).status, 200);
  assert.equal((await readiness(strict)).status, 503);
  assert.match((await clusterOf(loose)).nats.cause, /./);
  // Nobody is taken for dead because NATS is away.
  assert.equal((await members(loose)).length, 1);

  stage.started.push(await startNats("", stage.nats.port));
  await complete([loose, strict]);
  await ready(strict);
  assert.deepEqual(await numbers(), before);
  assert.equal((await loose.metrics()).get("trunkline_mesh_bus_connections_total"), 2);
});

withNats("NATS hangs: it is noticed within seconds, and no node is taken for dead", async (stage) => {
  const cluster = clusterName();
  const nodes = await Promise.all([stage.member(cluster), stage.member(cluster)]);
  await complete(nodes);
  stage.nats.child.kill("SIGSTOP");
  try {
    await until("the notes", async () => {
      const all = await Promise.all(nodes.map(readiness));
      return all.every(({ notes }) => notes.includes("nats_away"));
    });
    assert.equal((await members(nodes[0])).length, 1);
  } finally {
    stage.nats.child.kill("SIGCONT");
  }
  await complete(nodes);
  assert.equal(nodes[0].log.count(/is gone/), 0);
});

withNats("a node hangs: it is suspected, then dead; it wakes and is a node again", async (stage) => {
  const cluster = clusterName();
  const [awake, asleep] = await Promise.all([stage.member(cluster), stage.member(cluster)]);
  await complete([awake, asleep]);
  const { number, incarnation } = await clusterOf(asleep);
  asleep.child.kill("SIGSTOP");
  try {
    await until("suspicion", async () => (await clusterOf(awake)).members[0]?.presence === "suspect");
    await until("death", async () => (await clusterOf(awake)).departed[0]?.presence === "dead");
    await logged(awake, /a node is gone: nothing came from it for too long/);
  } finally {
    asleep.child.kill("SIGCONT");
  }
  await complete([awake, asleep]);
  const woken = await clusterOf(asleep);
  assert.deepEqual([woken.number, woken.incarnation], [number, incarnation]);
  // Its own sleep is nobody else's fault.
  assert.equal(asleep.log.count(/is gone/), 0);
});

withNats("two nodes are started with one number: the older keeps it", async (stage) => {
  const cluster = clusterName();
  const older = await stage.member(cluster, { args: ["--node-number", "7"] });
  await complete([older]);
  const younger = await stage.member(cluster, { args: ["--node-number", "7"] });
  await complete([older, younger]);
  assert.equal((await clusterOf(older)).number, 7);
  assert.notEqual((await clusterOf(younger)).number, 7);
  assert.equal(older.log.count(/has this node's number/), 0);
});

withNats("two nodes are started with one number at the same moment: one of them has it", async (stage) => {
  const cluster = clusterName();
  const both = await Promise.all(
    [7, 7].map((number) => stage.member(cluster, { args: ["--node-number", `${number}`] })),
  );
  await complete(both);
  await until("two numbers", async () => {
    const [one, other] = await Promise.all(both.map(clusterOf));
    return (one.number === 7) !== (other.number === 7);
  });
});

withNats("nodes with other hubs, or other keys of the same hub, are named", async (stage) => {
  const cluster = clusterName();
  const start = (id, env = {}) => stage.member(cluster, { args: ["--node-id", id], env });
  const nodes = await Promise.all([
    start("n-1"),
    start("n-2"),
    start("n-3", { TRUNKLINE_KEY: "another key than all others" }),
  ]);
  await complete(nodes);
  await logged(nodes[0], /configured with other hubs.*peer="?n-3/);
  await logged(nodes[2], /configured with other hubs.*peer="?n-1/);
  assert.ok((await readiness(nodes[0])).notes.includes("hubs_differ"));
  const { members: seen } = await clusterOf(nodes[0]);
  assert.deepEqual(Object.fromEntries(seen.map(({ node, same_hubs }) => [node, same_hubs])), {
    "n-2": true,
    "n-3": false,
  });
  assert.equal((await nodes[0].metrics()).get("trunkline_mesh_hubs_differ"), 1);
});

withNats("a user that NATS does not know is named as the cause, until NATS knows it", async (stage) => {
  const cluster = clusterName();
  const port = await freePort();
  const guarded = await startNats("authorization { user: node, password: right }", port);
  stage.started.push(guarded);
  const start = (user) => {
    const args = ["--cluster", cluster, "--nats", `nats://${user}@127.0.0.1:${port}`];
    return startNode({ threads: 1, args });
  };
  const wrong = await start("node:topsecret");
  stage.started.push(wrong);
  await logged(wrong, /NATS refuses this node \(authorization violation\).*nats_credentials_file/);
  const ready = await fetch(`${wrong.adminUrl}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /"joining".*authorization violation/);
  assert.ok(!wrong.log.text.includes("topsecret"));
  const right = await start("node:right");
  stage.started.push(right);
  await complete([right]);
  // The same node gets in once NATS takes its password.
  await guarded.stop();
  stage.started.push(await startNats("authorization { user: node, password: topsecret }", port));
  await complete([wrong]);
});

withNats("a user that may not use the cluster's subjects: the node does not take itself for alone", async (stage) => {
  const permissions = '{ publish: "others.>", subscribe: "others.>" }';
  const nats = await startNats(
    `authorization { users: [{ user: node, password: right, permissions: ${permissions} }] }`,
  );
  stage.started.push(nats);
  const args = ["--cluster", clusterName(), "--nats", `nats://node:right@127.0.0.1:${nats.port}`];
  const node = await startNode({ threads: 1, args });
  stage.started.push(node);
  await logged(node, /does not permit this node what it needs/);
  await until("further tries", async () => (await node.metrics()).get("trunkline_mesh_bus_connections_total") > 5);
  assert.equal((await clusterOf(node)).number, null);
  assert.deepEqual((await readiness(node)).causes, ["joining"]);
  assert.equal(node.log.count(/does not permit this node/), 1);
  assert.equal(node.log.count(/NATS is reached/), 1);
});

tests.push([
  "a node without a cluster has none to show, and needs no NATS",
  async () => {
    const node = await startNode({ threads: 1 });
    try {
      const answer = await fetch(`${node.adminUrl}/api/v1/cluster`);
      assert.equal(answer.status, 404);
      assert.equal((await answer.json()).error, "no_cluster");
      assert.equal((await readiness(node)).status, 200);
      const names = [...(await node.metrics()).keys()];
      assert.deepEqual(
        names.filter((name) => name.startsWith("trunkline_mesh")),
        [],
      );
    } finally {
      await node.stop();
    }
  },
]);

// They mostly wait: for a number, for a death.
describe("nodes and a real NATS", { concurrency: 4, skip: PLAIN }, () => {
  for (const [name, run] of tests) test(name, run);
});
