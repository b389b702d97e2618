// The TCP streams of one client, so that a test can cut them: no close frame, no goodbye of any kind.
import { Agent } from "node:http";

export class Streams {
  #open = new Set();

  constructor() {
    // A request on a stream that was used before would be tried again behind the client's back: the cut would not be
    // one.
    this.agent = new Agent({ keepAlive: false });
    const connect = this.agent.createConnection.bind(this.agent);
    this.agent.createConnection = (...args) => {
      const stream = connect(...args);
      this.#open.add(stream);
      stream.once("close", () => this.#open.delete(stream));
      return stream;
    };
  }

  /** Ends every stream under the client, who learns it as it would from a broken network. */
  cut() {
    for (const stream of this.#open) stream.destroy();
  }
}
