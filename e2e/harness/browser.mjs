// A real browser, and the examples, started as their users start them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { until } from "../../testing/wait.mjs";
import { Log } from "./log.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** A browser with a profile of its own, thrown away afterwards. */
export function openBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page in a window of its own; its errors are kept in `page.problems`. */
export async function openPage(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  await page.goto(url);
  return page;
}

/** Closes every page, so that none reconnects to the app servers of the next test. */
export async function closePages(browser) {
  await Promise.all(browser.contexts().map((context) => context.close()));
}

/** An example's page and app servers, as separate processes, behind a node of `world`. */
export class Example {
  #children = [];
  logs = [];

  static async start(name, world, servers) {
    const example = new Example();
    const folder = fileURLToPath(new URL(`../../examples/${name}/`, import.meta.url));
    for (const server of servers) {
      const log = example.#run(folder, "server.mjs", {
        TRUNKLINE_ENDPOINT: world.node.url,
        SERVER_NAME: server,
        PORT: "0",
      });
      await until(`app server ${server}`, () => log.count(/is ready/) > 0);
    }
    const log = example.#run(folder, "page.mjs", { SOCKET_URL: world.node.url, PORT: "0" });
    const line = await until("the page", () => log.lines.find((line) => line.startsWith("page at ")));
    example.url = line.split(" ")[2].replace(/,$/, "");
    return example;
  }

  #run(folder, file, env) {
    const child = spawn(process.execPath, [folder + file], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = new Log(env.SERVER_NAME ?? "page", child);
    this.#children.push(child);
    this.logs.push(log);
    return log;
  }

  /** Ends the app server as in a crash. */
  async kill(server) {
    const child = this.#children[this.logs.findIndex(({ name }) => name === server)];
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async stop() {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      }),
    );
  }
}
