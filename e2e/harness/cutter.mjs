// A TCP proxy that can break its streams and refuse new ones for a while, like a network that fails.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Cutter {
  #pairs = new Set();
  #isCut = false;

  /** Passes everything on to `port` of this machine. */
  static async start(port) {
    const cutter = new Cutter();
    cutter.server = createServer((near) => cutter.#join(near, port)).listen(0, "127.0.0.1");
    await once(cutter.server, "listening");
    cutter.url = `http://127.0.0.1:${cutter.server.address().port}`;
    return cutter;
  }

  #join(near, port) {
    near.on("error", () => {});
    if (this.#isCut) return near.destroy();
    const far = connect(port, "127.0.0.1");
    const pair = [near, far];
    this.#pairs.add(pair);
    for (const stream of pair) {
      stream.setNoDelay(true);
      stream.on("error", () => {});
      stream.once("close", () => {
        for (const each of pair) each.destroy();
        this.#pairs.delete(pair);
      });
    }
    near.pipe(far).pipe(near);
  }

  /** Breaks every stream, and each new one until {@link Cutter.mend}. */
  cut() {
    this.#isCut = true;
    for (const pair of this.#pairs) for (const stream of pair) stream.resetAndDestroy();
  }

  mend() {
    this.#isCut = false;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}
