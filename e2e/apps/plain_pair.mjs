// Two plain Socket.IO servers that know each other: socket.io-adapter's own ClusterAdapter, whose messages the test
// carries. Tests that need two app servers are compared with it.
import { createRequire } from "node:module";

const { ClusterAdapter } = createRequire(createRequire(import.meta.url).resolve("socket.io"))("socket.io-adapter");

/** Makes `io` one of the pair. Call the returned function with what the other one published. */
export function joinPair(io) {
  const adapters = new Map();
  // As JSON, like adapters that use a network: apps may send proxies.
  const publish = (message) => process.send({ kind: "published", data: JSON.stringify(message) });
  io.adapter(
    class extends ClusterAdapter {
      constructor(nsp) {
        super(nsp);
        adapters.set(nsp.name, this);
      }
      async serverCount() {
        return 2;
      }
      async doPublish(message) {
        publish({ nsp: this.nsp.name, message });
        return "";
      }
      async doPublishResponse(requester, response) {
        publish({ nsp: this.nsp.name, requester, response });
      }
    },
  );
  return (published) => {
    const { nsp, message, requester, response } = JSON.parse(published);
    const adapter = adapters.get(nsp);
    if (message) adapter?.onMessage(message);
    else if (adapter?.uid === requester) adapter.onResponse(response);
  };
}
