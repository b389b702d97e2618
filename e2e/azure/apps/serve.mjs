// The common part of every app here: a Socket.IO server behind Microsoft's SDK, and the channel to the test.
import { createServer } from "node:http";
import { useAzureSocketIO } from "@azure/web-pubsub-socket.io";
import { Server } from "socket.io";

const { name, options, trunkline } = JSON.parse(process.env.E2E);

const note = (kind, data) => process.send?.({ kind, data });

/** Sets the app up and reports when clients can connect. `app` may answer HTTP requests, too. */
export async function serve(app) {
  const { connectionString, tokenUrl, endpoint } = trunkline;
  const azure = {
    hub: trunkline.hub ?? "default",
    ...(tokenUrl ? { endpoint, credential: credential(tokenUrl) } : { connectionString }),
  };
  const httpServer = createServer((request, response) => context.answer?.(request, response));
  const io = new Server(httpServer, options);
  const context = { io, azure, note, server: name, httpServer };

  process.on("message", async ({ id, code, argument }) => {
    try {
      // biome-ignore lint/security/noGlobalEval: a test sends a function as text; it runs outside of this scope
      const value = await (0, eval)(`(${code})`)(context, argument);
      process.send({ kind: "answer", id, value });
    } catch (error) {
      process.send({ kind: "answer", id, error: String(error?.stack ?? error) });
    }
  });
  await useAzureSocketIO(io, azure);
  await app(context);
  await new Promise((done) => httpServer.listen(0, "127.0.0.1", done));
  note("ready", { port: httpServer.address().port });
}

/** A credential as `@azure/identity` makes one: asks an identity provider for a token. */
function credential(url) {
  const getToken = async (scope) => {
    const token = await (await fetch(`${url}?scope=${encodeURIComponent(scope)}`)).text();
    return { token, expiresOnTimestamp: Date.now() + 60_000 };
  };
  return { getToken };
}
