// Runs after a snippet in its process, to check that it did what its page says.
import { io as connect } from "socket.io-client";

/**
 * For a snippet that has made an app server: a client connects through Trunkline and reaches it; then everything ends
 * by itself.
 */
export async function afterApp(io) {
  const reached = new Promise((done) => io.on("connection", (socket) => done(socket.id)));
  const client = connect(process.env.DOCS_URL, {
    path: process.env.DOCS_PATH,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
  });
  await new Promise((done) => client.once("connect", done));
  if ((await reached) !== client.id) throw new Error("another client came");
  client.disconnect();
  await new Promise((done) => io.close(done));
}

/** For a snippet that has made a client: it connects. */
export async function afterClient(client) {
  if (!client.connected) {
    await new Promise((done, fail) => {
      client.once("connect", done);
      client.once("connect_error", fail);
    });
  }
  client.disconnect();
}
