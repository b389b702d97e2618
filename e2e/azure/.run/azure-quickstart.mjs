import { createServer } from "node:http";
const httpServer = createServer();
import { Server } from "socket.io";
const io = new Server(httpServer);
import { useAzureSocketIO } from "@azure/web-pubsub-socket.io";

await useAzureSocketIO(io, {
  hub: "default",
  connectionString: "Endpoint=http://127.0.0.1:43103;AccessKey=trunkline-development-key-do-not-use-in-production;Version=1.0;",
});
{ const { afterApp } = await import("file:///work/wt/docs/e2e/docs/after.mjs"); await afterApp(io); process.exit(0); }