// Two plain Socket.IO servers that know each other: socket.io-adapter's own ClusterAdapter, whose messages the runner
// carries. Scripts for two app servers are compared with it.
import { createRequire } from "node:module";

const { ClusterAdapter } = createRequire(createRequire(import.meta.url).resolve("socket.io"))("socket.io-adapter");
const adapters = new Map(); // namespace -> adapter

export function createPairAdapter() {
  adapters.clear();
  return class PairAdapter extends ClusterAdapter {
    constructor(nsp) {
      super(nsp);
      adapters.set(nsp.name, this);
    }
    async serverCount() {
      return 2;
    }
    async doPublish(message) {
      process.send({ published: { nsp: this.nsp.name, message } });
      return "";
    }
    async doPublishResponse(requester, response) {
      process.send({ published: { nsp: this.nsp.name, requester, response } });
    }
  };
}

/** Handles a message that the other server has published. */
export function takePairMessage({ nsp, message, requester, response }) {
  const adapter = adapters.get(nsp);
  if (message) adapter?.onMessage(message);
  else if (adapter?.uid === requester) adapter.onResponse(response);
}
