// The common part of every test app: a Socket.IO server, behind Trunkline unless it runs plain, and the channel to the
// test.
import { createServer } from "node:http";
import { useTrunkline } from "@trunkline/socket.io";
import { Server } from "socket.io";

const { name, options, trunkline: trunklineOptions } = JSON.parse(process.env.E2E);

const note = (kind, data) => process.send?.({ kind, data });

/** Makes the server, lets `app` set it up, and reports when clients can connect. */
export async function serve(app) {
  const httpServer = createServer();
  const io = new Server(httpServer, options);
  const trunkline = trunklineOptions === undefined ? undefined : useTrunkline(io, trunklineOptions);
  const context = { io, trunkline, note, server: name, httpServer };

  process.on("message", async ({ id, code, argument }) => {
    try {
      // biome-ignore lint/security/noGlobalEval: a test sends a function as text; it runs outside of this scope
      const value = await (0, eval)(`(${code})`)(context, argument);
      process.send({ kind: "answer", id, value });
    } catch (error) {
      process.send({ kind: "answer", id, error: String(error?.stack ?? error) });
    }
  });
  app(context);
  await new Promise((done) => httpServer.listen(0, "127.0.0.1", done));
  try {
    await trunkline?.ready;
  } catch (error) {
    // An app would use `await trunkline.ready` here.
    return note("failed", { message: error.message, name: error.name, code: error.code });
  }
  note("ready", { port: httpServer.address().port });
}
