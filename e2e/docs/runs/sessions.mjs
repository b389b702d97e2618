// The page "Cookies and sessions", in a real browser: express-session with one origin and with two.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../testing/wait.mjs";
import { openBrowser } from "../../harness/browser.mjs";
import { Log } from "../../harness/log.mjs";
import { startNode } from "../../harness/node.mjs";
import { FOLDER } from "../modules.mjs";
import { freePort } from "../ports.mjs";

export async function run(pile) {
  const source = pile.take("js", "express-session");
  const types = pile.take("ts", "declare module");
  assert.match(types, /interface SessionData/); // The compiler checks it against the app, with all other snippets.
  const block = pile.take("nginx");
  const server = pile.take("js", "credentials: true");
  const client = pile.take("js", "withCredentials");
  const token = pile.take("js", "auth:");

  const folder = mkdtempSync(join(tmpdir(), "trunkline-sessions-"));
  const children = [];
  let node;
  let browser;
  try {
    node = await startNode();
    browser = await openBrowser();
    const start = async (name, text, port) => {
      writeFileSync(`${FOLDER}${name}.mjs`, text);
      const child = spawn(process.execPath, [`${FOLDER}${name}.mjs`], {
        cwd: FOLDER,
        env: { ...process.env, PORT: String(port), TRUNKLINE_ENDPOINT: node.url },
      });
      children.push(child);
      const log = new Log(name, child);
      await until(`${name} to serve`, () =>
        fetch(`http://127.0.0.1:${port}/login/nobody`, { method: "POST" }).catch((error) => {
          throw new Error(`${error.message}\n${log.text}`);
        }),
      );
      await until(
        "its trunk",
        async () => (await (await fetch(`${node.adminUrl}/api/v1/status`)).json()).hubs[0].app_servers.length === 1,
      );
      return child;
    };
    const page =
      'app.get("/", (request, response) => response.send("<script src=/socket.io/socket.io.js></script>"));\n';
    const withPage = source.replace("io.use(", `${page}io.use(`);

    // One origin: nginx in front of both.
    const [appPort, proxyPort] = [await freePort(), await freePort()];
    const app = await start("sessions-one-origin", withPage, appPort);
    const proxied = block
      .replace("listen 80", `listen 127.0.0.1:${proxyPort}`)
      .replace("127.0.0.1:8080", `127.0.0.1:${node.port}`)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${appPort}`);
    const config = join(folder, "nginx.conf");
    writeFileSync(
      config,
      `pid ${folder}/pid;\ndaemon off;\nmaster_process off;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path ${folder}/body;\nproxy_temp_path ${folder}/proxy;\nfastcgi_temp_path ${folder}/f;\nuwsgi_temp_path ${folder}/u;\nscgi_temp_path ${folder}/s;\n${proxied}\n}\n`,
    );
    const nginx = spawn("nginx", ["-e", "stderr", "-p", folder, "-c", config]);
    children.push(nginx);
    const log = new Log("nginx", nginx);
    const origin = `http://127.0.0.1:${proxyPort}`;
    await until("nginx", () =>
      fetch(origin).catch((error) => {
        throw new Error(`${error.message}\n${log.text}`);
      }),
    );
    await visits(browser, `${origin}/`, "io({ reconnection: false, transports })");
    const opened = [...(await node.metrics())].filter(
      ([name]) => name.startsWith("trunkline_edge_handshakes_total") && name.includes("accepted"),
    );
    assert.equal(opened[0]?.[1], 12, `each client came through Trunkline: ${JSON.stringify(opened)}`);
    await stop(app);

    // Two origins: the app serves the page itself; Trunkline is another host, or here another port.
    const otherPort = await freePort();
    const cors = server.replace("https://www.example.com", `http://localhost:${otherPort}`);
    assert.notEqual(cors, server);
    await start("sessions-two-origins", withPage.replace("const io = new Server(httpServer);", cors), otherPort);
    const call = client
      .replace("const socket = ", "")
      .replace("https://rt.example.com", `http://localhost:${node.port}`)
      .replace(" }", ", reconnection: false, transports }")
      .replace(/;\s*$/, "");
    await visits(browser, `http://localhost:${otherPort}/`, call);

    // Without cookies: the app sees what the page passes in `auth`.
    const shown = `import { io } from "socket.io-client";\nimport { Server } from "socket.io";\nimport { useTrunkline } from "@trunkline/socket.io";
      const own = new Server();\nconst trunkline = useTrunkline(own, { hub: process.env.HUB });\nawait trunkline.ready;
      const seen = new Promise((done) => own.on("connection", ({ handshake }) => done(handshake.auth.token)));
      ${token.replace("https://rt.example.com", node.url)}\nconsole.log("token", await seen);\nsocket.disconnect();\nown.close();`;
    for (const child of children) await stop(child);
    writeFileSync(`${FOLDER}sessions-token.mjs`, shown);
    const child = spawn(process.execPath, [`${FOLDER}sessions-token.mjs`], {
      cwd: FOLDER,
      env: { ...process.env, TRUNKLINE_ENDPOINT: node.url, HUB: "default" },
    });
    children.push(child);
    const tokens = new Log("token", child);
    await until("the token", () => tokens.lines.includes("token …") || (child.exitCode && fail(tokens.text)));
  } finally {
    await browser?.close();
    for (const child of children) child.kill("SIGKILL");
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A browser connects, is refused, logs in, and is then known by its cookie over each transport; a second browser is
 * another user.
 */
async function visits(browser, url, call) {
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const contexts = [await browser.newContext(), await browser.newContext()];
    const known = [];
    for (const [index, user] of ["ada", "grace"].entries()) {
      const page = await contexts[index].newPage();
      await page.goto(url);
      const first = await page.evaluate(outcome, { call, transports });
      assert.equal(first.refused, "log in first", JSON.stringify(first));
      await page.evaluate((name) => fetch(`/login/${name}`, { method: "POST" }), user);
      known.push(await page.evaluate(outcome, { call, transports }));
    }
    assert.deepEqual(
      known.map(({ user }) => user),
      ["ada", "grace"],
      `${url} over ${transports}: ${JSON.stringify(known)}`,
    );
    await Promise.all(contexts.map((context) => context.close()));
  }
}

/** Runs inside the page: the result of one client. */
function outcome({ call, transports }) {
  const socket = new Function("transports", `return ${call}`)(transports);
  return new Promise((done) => {
    // An app that died sends nothing: then the test must fail, not wait.
    setTimeout(() => done({ refused: "nobody answered" }), 10_000);
    socket.on("connect", async () => {
      const user = await socket.emitWithAck("whoami");
      socket.disconnect();
      done({ user });
    });
    socket.on("connect_error", (error) => {
      socket.disconnect();
      done({ refused: error.message });
    });
  });
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await ended;
}

function fail(text) {
  throw new Error(text);
}
