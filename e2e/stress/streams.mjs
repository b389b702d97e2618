// The TCP streams of one client, so that a test can cut them without a close frame or any other notice.
import { Agent } from "node:http";

export class Streams {
  #open = new Set();

  constructor() {
    // A request on a reused stream would be retried without the client's knowledge, so a cut would have no effect.
    this.agent = new Agent({ keepAlive: false });
    const connect = this.agent.createConnection.bind(this.agent);
    this.agent.createConnection = (...args) => {
      const stream = connect(...args);
      this.#open.add(stream);
      stream.once("close", () => this.#open.delete(stream));
      return stream;
    };
  }

  /** Ends every stream of the client, which notices it as it would a broken network. */
  cut() {
    for (const stream of this.#open) stream.destroy();
  }
}
