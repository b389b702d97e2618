// A TCP proxy that cuts streams, at once, after a number of bytes, or for a while, or that lets nothing through for a
// while: like a network that fails.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class CuttingProxy {
  /** Streams that are open now. */
  streams = new Set();
  /** Streams that were cut. */
  cuts = 0;
  #left = Number.POSITIVE_INFINITY;
  #isAway = false;
  #isDark = false;
  #server;

  /** Forwards every stream to this port. */
  static async start(port) {
    const proxy = new CuttingProxy();
    proxy.#server = createServer((near) => {
      near.on("error", () => {});
      if (proxy.#isAway) near.destroy();
      else proxy.#forward(near, connect({ port, host: "127.0.0.1" }));
    });
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Cuts all streams when so many more bytes have passed, in either direction. */
  cutAfter(bytes) {
    this.#left = bytes;
  }

  /** Cuts all streams now; what is under way is lost. */
  cut() {
    this.#left = Number.POSITIVE_INFINITY;
    for (const stream of this.streams) stream.cut();
  }

  /** Cuts all streams now, and each new one until {@link CuttingProxy.comeBack}. */
  goAway() {
    this.#isAway = true;
    this.cut();
  }

  comeBack() {
    this.#isAway = false;
  }

  /**
   * Lets nothing through from now on, and closes nothing, until {@link CuttingProxy.lighten}. New streams open, and
   * nothing passes through them either.
   */
  darken() {
    this.#isDark = true;
    for (const stream of this.streams) stream.darken();
  }

  /** Lets everything through again, and first what was sent meanwhile. */
  lighten() {
    this.#isDark = false;
    for (const stream of this.streams) stream.lighten();
  }

  stop() {
    this.cut();
    this.#server.close();
  }

  #forward(near, far) {
    const stream = {
      cut: () => {
        if (!this.streams.delete(stream)) return;
        this.cuts += 1;
        near.destroy();
        far.destroy();
      },
      darken: () => [near, far].forEach((end) => end.pause()),
      lighten: () => [near, far].forEach((end) => end.resume()),
    };
    this.streams.add(stream);
    const pump = (from, to) => {
      from.setNoDelay(true);
      from.on("data", (chunk) => {
        to.write(chunk.length > this.#left ? chunk.subarray(0, this.#left) : chunk, () => {
          if (this.#left <= 0) this.cut();
        });
        this.#left -= Math.min(chunk.length, this.#left);
      });
      from.on("error", () => {});
      from.on("close", () => {
        this.streams.delete(stream);
        to.destroy();
      });
      from.on("end", () => to.end());
    };
    pump(near, far);
    pump(far, near);
    if (this.#isDark) stream.darken();
  }
}
