// Nodes of a cluster as one of them sees them, and beats that no node has sent.
import { createHmac, randomBytes } from "node:crypto";
import { until } from "../../testing/wait.mjs";
import { startNode } from "./node.mjs";

/** The key of the clusters of `trunkline dev`. */
const DEVELOPMENT_KEY = "trunkline-development-cluster-do-not-use-in-production";

/** A name that no other test uses. */
export const clusterName = () => `test-${randomBytes(6).toString("hex")}`;

/** Starts a node of a cluster; it joins later. */
export function startMember(nats, cluster, { args = [], ...options } = {}) {
  const own = ["--cluster", cluster, "--nats", `nats://127.0.0.1:${nats.port}`];
  return startNode({ threads: 1, args: [...own, ...args], ...options });
}

/** What a node says of its cluster. */
export const clusterOf = async (node) => (await fetch(`${node.adminUrl}/api/v1/cluster`)).json();

/** The status of `/readyz`, and the codes of its causes and notes. */
export async function readiness(node) {
  const answer = await fetch(`${node.adminUrl}/readyz`);
  const { causes, notes } = await answer.json();
  const codes = (list) => list.map(({ code }) => code);
  return { status: answer.status, causes: codes(causes), notes: codes(notes) };
}

/** Waits until each of these nodes reaches NATS, has a number, and a link to each of the others and to nobody else. */
export async function complete(nodes) {
  await until(`${nodes.length} nodes with links to one another`, async () => {
    const all = await Promise.all(nodes.map(clusterOf));
    const ids = all.map(({ node }) => node).sort();
    return all.every(({ node, number, members, nats }) => {
      const up = members.filter(({ presence }) => presence === "up").map((member) => member.node);
      return nats.reached && number !== null && [node, ...up].sort().join() === ids.join();
    });
  });
}

/** A beat as spec/mesh.md describes it. */
export function beat({ cluster, key = DEVELOPMENT_KEY, versions = [1, 1], number, node }) {
  const signing = createHmac("sha256", key).update("trunkline mesh beat 1 ").update(cluster).digest();
  const text = (value) => Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)]);
  const body = Buffer.concat([
    Buffer.from([1, ...versions]),
    randomBytes(8), // The life of its process.
    Buffer.from([1]), // The first beat of that life.
    Buffer.from([1, number >> 8, number & 0xff]), // One number.
    Buffer.from([1, 0, 0]), // Up; its rank; no flags.
    text(node),
    text(""), // No address.
    text("9.9.9"),
    Buffer.alloc(16), // Both digests.
    Buffer.from([0]), // No sessions.
  ]);
  return Buffer.concat([body, createHmac("sha256", signing).update(body).digest()]);
}
