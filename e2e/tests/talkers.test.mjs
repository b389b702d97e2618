// Who sends most: the admin port's question and the command, with strangers of different addresses.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { textFrame } from "../../testing/frames.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { BINARY } from "../harness/node.mjs";
import { PLAIN, World } from "../harness/world.mjs";

const run = promisify(execFile);
const said = (word) => textFrame(`42["never","${word}"]`);

describe("who sends most", { skip: PLAIN && "Socket.IO cannot tell" }, () => {
  let world;
  before(async () => {
    world = await World.start({ args: ["--address-limits-exempt", ""] });
  });
  after(() => world.stop());

  const ask = async (query, options) => {
    const answer = await fetch(`${world.node.adminUrl}/api/v1/talkers?${query}`, options);
    return { status: answer.status, ...(await answer.json()) };
  };
  async function dial(localAddress) {
    const stream = new RawStream(world.node.port, { localAddress });
    stream.write(upgradeHead(socketUrl()));
    await until("the upgrade", () => stream.status === 101);
    stream.write(textFrame("40"));
    return stream;
  }
  /** Does `what` again and again until the answer is there. */
  async function during(answer, what) {
    let over = false;
    const ended = answer.finally(() => {
      over = true;
    });
    while (!over) {
      await what();
      await new Promise(setImmediate);
    }
    return ended;
  }

  for (const [by, loud, quiet] of [
    ["bytes", [said("x".repeat(1_000))], [said("y"), said("y")]],
    ["messages", Array(20).fill(said("y")), [said("x".repeat(100))]],
  ]) {
    test(by, async () => {
      const [first, second] = [await dial("127.0.0.7"), await dial("127.0.0.8")];
      const answer = await during(ask(`by=${by}&for=3s&hub=default`), async () => {
        for (const frame of loud) first.write(frame);
        for (const frame of quiet) second.write(frame);
        // The pace of a load, not a wait for anything.
        await new Promise((done) => setTimeout(done, 5));
      });
      assert.deepEqual([answer.status, answer.by, answer.seconds], [200, by, 3]);
      const [loudest, next] = answer.addresses;
      assert.deepEqual([loudest?.address, next?.address], ["127.0.0.7", "127.0.0.8"], JSON.stringify(answer));
      assert.ok(loudest.count > next.count && next.count > 0, JSON.stringify(answer));
      const [session] = answer.sessions;
      assert.deepEqual([session.address, session.app_server?.length > 0, session.hub], ["127.0.0.7", true, "default"]);
      assert.equal(session.count, session.at_least, "few are counted exactly");
      assert.equal(
        answer.sum,
        answer.sessions.reduce((sum, row) => sum + row.count, 0),
      );
      for (const stream of [first, second]) stream.destroy();
    });
  }

  test("handshakes and failures, by the command", async () => {
    for (const [by, path] of [
      ["handshakes", engineUrl()],
      ["failures", engineUrl({ sid: "unknown" })],
    ]) {
      const args = ["talkers", "--admin", world.node.ready.admin, "--by", by, "--for", "1s"];
      const { stdout } = await during(run(BINARY, args), async () => {
        const stream = new RawStream(world.node.port, { localAddress: "127.0.0.9" });
        await stream.request("GET", path);
        stream.destroy();
      });
      assert.match(
        stdout,
        new RegExp(`^[1-9]\\d* ${by} in 1 s\\n\\n +${by}  address\\n +[1-9]\\d*  127\\.0\\.0\\.9\\n`),
      );
      const json = await run(BINARY, [...args, "--json"]);
      assert.equal(JSON.parse(json.stdout).by, by);
    }
  });

  test("one question at a time, and one that was given up leaves nothing", async () => {
    const given = new AbortController();
    const first = ask("for=60s", { signal: given.signal }).catch((error) => error.name);
    const busy = await until("the other question", async () => {
      const answer = await ask("for=1ms");
      return answer.status === 429 && answer;
    });
    assert.equal(busy.error, "talkers_busy");
    const refused = run(BINARY, ["talkers", "--admin", world.node.ready.admin, "--for", "1s"]);
    await assert.rejects(refused, ({ code, stderr }) => code === 1 && /somebody else asks at present/.test(stderr));
    given.abort();
    assert.equal(await first, "AbortError");
    await until("room", async () => (await ask("for=1ms")).status === 200);
  });

  test("questions that make no sense are refused", async () => {
    for (const [query, status, error] of [
      ["for=61s", 400, "talkers_question"],
      ["rows=201", 400, "talkers_question"],
      ["by=sids", 400, "talkers_question"],
      ["by=failures&hub=default", 400, "talkers_question"],
      ["hub=nobody-s", 404, "hub_unknown"],
    ]) {
      const answer = await ask(query);
      assert.deepEqual([answer.status, answer.error], [status, error], query);
    }
    const { status, text } = await fetch(`${world.node.adminUrl}/api/v1/talkers`, { method: "POST" });
    assert.equal(status, 405, text);
  });
});
