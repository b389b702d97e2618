// A process of its own for a part of a scenario.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../../testing/wait.mjs";

/** A process that takes part: it gets its task and reports the result. */
export class Worker {
  constructor(file, ...args) {
    this.child = fork(fileURLToPath(new URL(file, import.meta.url)), args.map(String));
    this.said = [];
    this.child.on("message", (message) => this.said.push(message));
  }
  tell(what) {
    this.child.send(what);
  }
  async hears(kind, withinMs) {
    const find = () => this.said.findIndex((message) => message.kind === kind);
    await until(
      `"${kind}" of a worker`,
      () => {
        if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}`);
        return find() >= 0;
      },
      { withinMs },
    );
    return this.said.splice(find(), 1)[0];
  }
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }
}
