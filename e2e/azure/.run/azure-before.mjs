import { useAzureSocketIO } from "@azure/web-pubsub-socket.io";
const connectionString = process.env.CONNECTION_STRING ?? '';
const hub = 'default';
import { createServer } from "node:http";
const httpServer = createServer();
import { Server } from "socket.io";
const io = new Server(httpServer);
await useAzureSocketIO(io, { hub, connectionString });
{ const { afterApp } = await import("file:///work/wt/docs/e2e/docs/after.mjs"); await afterApp(io); process.exit(0); }