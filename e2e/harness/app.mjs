// An app server in a process of its own, and a channel to it: the test reads the app's notes, and runs functions inside
// it.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../../testing/wait.mjs";
import { Log } from "./log.mjs";

/**
 * Starts `apps/<app>.mjs`. Waits until its trunks are up, unless `ready` is false.
 * `options` go to `new Server`, `trunkline` to `useTrunkline`.
 */
export async function startApp({ app = "capabilities", name = "amber", options = {}, trunkline, ready = true }) {
  const path = fileURLToPath(new URL(`../apps/${app}.mjs`, import.meta.url));
  const child = fork(path, [], {
    serialization: "advanced",
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, E2E: JSON.stringify({ name, options, trunkline }) },
  });
  const server = new AppServer(child, name);
  if (ready) await until(`app server ${name}'s readiness`, () => server.isReady());
  return server;
}

class AppServer {
  notes = [];
  #answers = new Map();
  #asked = 0;

  constructor(child, name) {
    this.child = child;
    this.name = name;
    this.log = new Log(name, child);
    child.on("message", (message) => {
      if (message.kind === "answer") this.#answers.get(message.id)?.(message);
      else this.notes.push(message);
    });
    child.on("exit", () => {
      for (const answer of this.#answers.values()) answer({ error: `app server ${name} ended` });
    });
  }

  isReady() {
    if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}\n${this.log.text}`);
    const failed = this.notes.find(({ kind }) => kind === "failed");
    if (failed) throw new Error(failed.data.message);
    return this.notes.find(({ kind }) => kind === "ready");
  }

  /** The app's own HTTP address. */
  get url() {
    return `http://127.0.0.1:${this.notes.find(({ kind }) => kind === "ready").data.port}`;
  }

  /** The first note of this kind that matches; waits for it. */
  async noted(kind, matches = () => true) {
    const find = () => this.notes.find((note) => note.kind === kind && matches(note.data));
    return (await until(`the note "${kind}" of app server ${this.name}`, find)).data;
  }

  /**
   * Runs `code` inside the app with `{ io, trunkline, note, server }` and `argument`. It is sent as text, so it cannot
   * use variables of the test.
   */
  async run(code, argument) {
    const id = ++this.#asked;
    const answer = new Promise((done) => this.#answers.set(id, done));
    this.child.send({ id, code: String(code), argument });
    const { value, error } = await answer;
    this.#answers.delete(id);
    if (error) throw new Error(error);
    return value;
  }

  async stop(signal = "SIGKILL") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    await ended;
  }
}
